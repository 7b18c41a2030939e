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

// Loads the newest valid checkpoint of the run, if there is one, into session and learner, and
// its reference policy too where the run has one; stores the config. `steps` is the run's goal: the
// result of an earlier, shorter goal is removed. kUser for another config, tokenizer or policy than
// the run's.
ResumePoint GoOn(const Config& config, int64_t steps, RunDir* run, DiskWait* wait, Session* session,
                 Learner* learner, Reference* reference = nullptr);

// Publishes the checkpoint of `step` and removes older ones; fills the manifest's common fields.
// The caller's files are durable up to the offsets that `manifest` brings.
void SaveRun(const Config& config, int64_t step, Manifest manifest, RunDir* run, DiskWait* wait,
             Session* session, Learner* learner, Reference* reference = nullptr);

// RUN/result.json: what the finished run came to.
void StoreResult(const RunDir& run, int64_t steps, uint64_t policy_version,
                 const std::string& weights_sha256, DiskWait* wait);

}  // namespace grouper
