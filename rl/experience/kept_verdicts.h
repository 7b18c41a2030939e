// Verdicts of steps that the trace holds but no checkpoint does. A resume makes those steps again;
// a rollout that comes out the same keeps the verdict it had, so that a borderline time limit
// changes no bit. They are read before the trace is cut back and stand in RUN/traces/kept-verdicts
// (record frames of KeptVerdict, run.proto) until a checkpoint has passed them: a second kill loses
// none. Owned by the trainer; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

class KeptVerdicts {
 public:
  KeptVerdicts() = default;

  // Those of steps >= first_step: what an earlier resume kept, and the groups that the run's trace
  // holds behind byte `trace_bytes`. Writes the file anew. Rubrics are those of the trace's own
  // header.
  static KeptVerdicts Keep(const std::string& run_folder, int64_t trace_bytes, int64_t first_step,
                           DiskWait* wait);

  // Gives the group its scores when every member has a verdict for the same item under the same
  // rubric: components may look at the whole group. False: nothing was changed.
  bool Fill(const Rubric& rubric, Group* group) const;

  // A checkpoint holds all steps below: when nothing is left the file is removed.
  void Passed(int64_t steps);

  size_t size() const { return by_rollout_.size(); }

 private:
  void Add(KeptVerdict verdict);

  std::string path_;
  std::map<uint64_t, KeptVerdict> by_rollout_;
};

}  // namespace grouper
