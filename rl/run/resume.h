// The two halves of a run that a kill must not tear: going on from the newest valid checkpoint, and
// publishing the next one. Reinforcement and supervised training share them (docs/formats.md,
// "Resume"). Both wait for a full disk.
#pragma once

#include <cstdint>
#include <optional>

#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "rl/learner/learner.h"
#include "rl/run/run_dir.h"
#include "rl/run/session.h"

namespace grouper {

// Says what it waits for in the log.
DiskWait MakeDiskWait(const Config& config);

struct ResumePoint {
  bool resumed = false;
  int64_t step = 0;           // steps done
  uint64_t prompts_used = 0;  // by these steps
  // Where the run's append-only files stood; 0: they start anew.
  int64_t metrics_bytes = 0;
  int64_t events_bytes = 0;
  int64_t trace_bytes = 0;
};

// What a checkpoint stores and a resume restores. Everything outlives this struct.
struct RunState {
  const Config& config;
  RunDir& folder;
  DiskWait& disk_wait;
  Session& session;
  Learner& learner;
  Reference* reference = nullptr;  // nullptr: the run has none
};

// Loads the newest valid checkpoint of the run folder, if there is one, into the session, the
// learner and the reference, and stores the config. `steps` is the goal of the run: the result of
// an earlier, shorter goal is removed. kUser for another config, tokenizer or policy than the
// run's.
ResumePoint ResumeRun(const RunState& run, int64_t steps);

// Publishes the checkpoint of `step` and removes older ones. `manifest` brings the offsets of the
// caller's files, which are durable up to them; the common fields are filled in.
void CheckpointRun(const RunState& run, int64_t step, Manifest manifest);

// True after every `interval` steps; interval 0: never.
inline bool Every(int64_t steps_done, int64_t interval) {
  return interval > 0 && steps_done % interval == 0;
}

// RUN/result.json: what the finished run came to.
void StoreResult(const RunDir& run, int64_t steps, uint64_t policy_version,
                 const std::string& weights_sha256, DiskWait* wait);

}  // namespace grouper
