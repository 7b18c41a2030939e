// The config that belongs to a checkpoint, so that eval and sample need no other file. A free
// function, any thread.
#pragma once

#include <string>

#include "policy/checkpoint/checkpoint.h"
#include "proto/config.pb.h"

namespace grouper {

struct CheckpointConfig {
  std::string folder;      // of the checkpoint itself
  std::string run_folder;  // empty when the checkpoint belongs to no run
  Manifest manifest;       // verified; the files are when they are loaded
  Config config;  // the run's, with the manifest's policy and tokenizer, init_from = folder
};

// path: a run folder, for its newest valid checkpoint, or a checkpoint folder. kUser naming the
// folder and what is wrong. File paths in the run's config are relative to the folder that the run
// was started in.
CheckpointConfig ReadCheckpointConfig(const std::string& path);

}  // namespace grouper
