// Verdicts of steps that the trace holds but no checkpoint does. A resume repeats those steps, and
// a rollout that comes out the same keeps the verdict it had, so that a borderline time limit
// changes no bit. The verdicts are read before the trace is cut back, and are stored in
// RUN/traces/kept-verdicts (record frames of KeptVerdict, run.proto) until a checkpoint includes
// their steps, so a second kill loses none. Owned by the trainer; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"
#include "proto/trace.pb.h"
#include "trace/store/segment.h"

namespace grouper {

class KeptVerdicts {
 public:
  KeptVerdicts() = default;

  // Keeps the verdicts of steps >= first_step: those that an earlier resume kept, and those of the
  // groups in the run's trace after `from`. Writes the file anew. The rubrics are those of each
  // segment's own header.
  static KeptVerdicts Keep(const std::string& run_folder, const TracePosition& from,
                           int64_t first_step, DiskWait* wait);

  // Gives the group its scores if every member has a verdict for the same item under the same
  // rubric (all of them, because components may look at the whole group). False: nothing was
  // changed.
  bool Fill(const Rubric& rubric, Group* group) const;

  // To be called when a checkpoint includes all steps below `step`: their verdicts are forgotten,
  // and the file is removed when none is left.
  void Passed(int64_t steps);

  size_t size() const { return by_rollout_.size(); }

 private:
  void Add(KeptVerdict verdict);
  // Those of the file.
  void AddFile(int64_t first_step);
  // Those of the groups in a segment after byte `from`.
  void AddSegment(const std::string& segment, uint64_t from, int64_t first_step);
  void Store(DiskWait* wait) const;

  std::string path_;
  bool from_trace_ = false;  // a segment gave verdicts that the file may lack
  std::map<uint64_t, KeptVerdict> by_rollout_;
};

}  // namespace grouper
