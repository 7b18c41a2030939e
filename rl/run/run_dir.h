// A run folder: config.textproto, metrics.jsonl, events.out.tfevents.*, traces/,
// checkpoints/step-NNNNNNNN/, result.json, lock. One process owns it. The newest valid checkpoint
// says where to go on; an invalid one is reported and the next older is used.
//   1. The checkpoint that was verified last is never removed.
//   2. A checkpoint disappears by a rename: half of one never stands under its name.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/io/file.h"
#include "policy/checkpoint/checkpoint.h"

namespace grouper {

class RunDir {
 public:
  // Creates the folder and takes its lock; kUser when another process holds it.
  explicit RunDir(const std::string& path);

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return JoinPath(path_, name); }
  // Newest checkpoint that verifies and that the run's append-only files reach, and its manifest;
  // newer ones that do not are reported. Empty when there is none at all; kUser when there are some
  // and none is valid.
  struct Found {
    std::string folder;
    Manifest manifest;
  };
  std::optional<Found> NewestCheckpoint();
  std::string CheckpointFolder(int64_t step) const;
  // Removes temporary folders of half-written checkpoints, and checkpoints but for the newest
  // `keep` and those of steps that are multiples of keep_every (0: none). Verifies the newest one
  // first: when it is bad it is reported and nothing is removed for it.
  void Tidy(int keep, int64_t keep_every);

  // Writes config.textproto. On a resume the stored one must have the same hash, apart from
  // settings that change no bit of what was done (steps, waits, what is kept, addresses): another
  // config in the same folder is kUser naming the first line that differs.
  void StoreConfig(const std::string& resolved, bool resuming) const;

 private:
  // False, and a line in the log, when it is not valid.
  bool Verify(const std::string& name, Manifest* manifest);

  std::string path_;
  std::unique_ptr<FolderLock> lock_;
  std::string verified_;           // name of the checkpoint that was verified last
  std::set<std::string> invalid_;  // names, each reported once
};

// RUN/checkpoints/step-NNNNNNNN
std::string CheckpointPath(const std::string& run, int64_t step);
// Steps of the published checkpoints of a run folder, newest first; valid or not.
std::vector<int64_t> CheckpointSteps(const std::string& run);

// Newest valid checkpoint of a run folder, or the folder itself when it is a checkpoint; kUser
// otherwise.
std::string ResolveCheckpoint(const std::string& path);

}  // namespace grouper
