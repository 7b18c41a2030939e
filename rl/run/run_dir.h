// A run folder: config.textproto, metrics.jsonl, events.out.tfevents.*, traces/,
// checkpoints/step-NNNNNNNN/, result.json, lock (docs/formats.md). One process owns it. A run
// resumes from the newest valid checkpoint; an invalid one is reported, and the next older one is
// used. Invariants: (1) the checkpoint that was verified last is never removed; (2) a checkpoint is
// renamed before it is removed, so half of one never has its name.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/io/file.h"
#include "policy/checkpoint/checkpoint.h"
#include "proto/config.pb.h"

namespace grouper {

class RunDir {
 public:
  // Creates the folder and locks it; kUser when another process holds the lock, and when the folder
  // is no run's but holds files that a run would overwrite.
  explicit RunDir(const std::string& path);

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return JoinPath(path_, name); }
  // The newest checkpoint that is valid and whose append-only files are long enough, with its
  // manifest; newer ones that are not are reported. Empty when there is no checkpoint at all; kUser
  // when there are some but none is valid. `load` loads a candidate, whose files it reads and
  // verifies at the same time; when it throws CheckpointDamaged, the next older one follows.
  // Without it the files are read to be verified.
  struct Found {
    std::string folder;
    Manifest manifest;
  };
  std::optional<Found> NewestCheckpoint(const std::function<void(const Found&)>& load = {});
  std::string CheckpointFolder(int64_t step) const;
  // Removes temporary folders of half-written checkpoints, and all checkpoints but the newest
  // `keep` and those of steps that are multiples of keep_every (0: none of these). Verifies the
  // newest one first; if it is bad, that is reported, and nothing is removed in its favour.
  void Tidy(int keep, int64_t keep_every);

  // The config that the run was started with last.
  Config StoredConfig() const;
  bool HasConfig() const;
  // Writes config.textproto. On a resume the stored config must be the same, apart from settings
  // that may differ (run_identity.h); otherwise kUser naming the first line that differs.
  void StoreConfig(const std::string& resolved, bool resuming) const;

 private:
  // Returns false and logs the reason when the checkpoint is not valid. `load` as above.
  bool Verify(const std::string& name, Manifest* manifest,
              const std::function<void(const Found&)>& load = {});
  void Report(const std::string& name, const Error& error);

  std::string path_;
  std::unique_ptr<FolderLock> lock_;
  std::string verified_;           // name of the checkpoint that was verified last
  std::set<std::string> invalid_;  // names, each reported once
};

// RUN/checkpoints/step-NNNNNNNN
std::string CheckpointPath(const std::string& run, int64_t step);
// The steps of all published checkpoints of a run folder, newest first, valid or not.
std::vector<int64_t> CheckpointSteps(const std::string& run);

// The newest valid checkpoint of a run folder, or the folder itself if it is a checkpoint; kUser if
// it is neither. A checkpoint's own files are not read here, because whoever loads them verifies
// them.
std::string ResolveCheckpoint(const std::string& path);

}  // namespace grouper
