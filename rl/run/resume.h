// How a run resumes from its newest valid checkpoint and how it publishes the next one, so that a
// kill at any point loses nothing (docs/formats.md, "Resume"). Reinforcement and supervised
// training share both. Both wait while the disk is full.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/io/disk_wait.h"
#include "proto/config.pb.h"
#include "rl/learner/learner.h"
#include "rl/run/run_dir.h"
#include "rl/run/run_identity.h"
#include "rl/run/session.h"
#include "trace/store/segment.h"

namespace grouper {

// The wait for a full disk that the config asks for; it logs what it waits for.
DiskWait MakeDiskWait(const Config& config);

struct ResumePoint {
  bool resumed = false;
  int64_t step = 0;           // steps done
  uint64_t prompts_used = 0;  // by these steps
  // How long the run's append-only files were; 0: they start anew.
  int64_t metrics_bytes = 0;
  int64_t events_bytes = 0;
  TracePosition trace;
};

// What a checkpoint stores and a resume restores. Everything outlives this struct.
struct RunState {
  const Config& config;
  RunDir& folder;
  DiskWait& disk_wait;
  Session& session;
  Learner& learner;
  std::string data;                // content of data.train, as RunInput has it
  RunInputs& inputs;               // ResumeRun fills them in, CheckpointRun stores them
  Reference* reference = nullptr;  // nullptr: the run has none
};

// Loads the newest valid checkpoint of the run folder into the session, the learner and the
// reference, or the first weights if there is none, and stores the config. Only a new run reads
// init_from and reference.init_from. `steps` is the goal of the run: the result of an earlier,
// shorter goal is removed. kUser for another config, tokenizer, policy or content of data than the
// run's.
ResumePoint ResumeRun(const RunState& run, int64_t steps);

// Publishes the checkpoint of `step` and removes older ones. `manifest` brings the offsets of the
// caller's files, which are durable up to them; the common fields are filled in.
void CheckpointRun(const RunState& run, int64_t step, Manifest manifest);

// save(), as the last act of a run that an error ends: it waits for nothing, and says whether the
// state after `steps` steps was saved. It throws nothing, because that would hide the error.
void SaveOnTheWayOut(int64_t steps, DiskWait* wait, const std::function<void()>& save);

// True after every `interval` steps; interval 0: never.
inline bool Every(int64_t steps_done, int64_t interval) {
  return interval > 0 && steps_done % interval == 0;
}

// Writes RUN/result.json, the result of a finished run.
void StoreResult(const RunDir& run, int64_t steps, uint64_t policy_version,
                 const std::string& weights_sha256, DiskWait* wait);

}  // namespace grouper
