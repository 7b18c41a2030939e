// A run folder: config.textproto, metrics.jsonl, events.out.tfevents.*, traces/,
// checkpoints/step-NNNNNNNN/, result.json, lock. One process owns it. The newest valid checkpoint
// says where to go on; an invalid one is reported and the next older is used.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "policy/checkpoint.h"

namespace grouper {

class RunDir {
 public:
  // Creates the folder and takes its lock; kUser when another process holds it.
  explicit RunDir(const std::string& path);

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return JoinPath(path_, name); }
  // Newest checkpoint that verifies, and its manifest.
  struct Found {
    std::string folder;
    Manifest manifest;
  };
  std::optional<Found> NewestCheckpoint() const;
  std::string CheckpointFolder(int64_t step) const;
  // Removes temporary folders of half-written checkpoints and all but the newest `keep`
  // checkpoints.
  void Tidy(int keep) const;

  // Writes config.textproto. On a resume the stored one must have the same hash, apart from
  // `steps`: another config in the same folder is kUser naming the first line that differs.
  void StoreConfig(const std::string& resolved, bool resuming) const;

 private:
  std::string path_;
  std::unique_ptr<FolderLock> lock_;
};

// Newest valid checkpoint of a run folder, or the folder itself when it is a checkpoint; kUser
// otherwise.
std::string ResolveCheckpoint(const std::string& path);

}  // namespace grouper
