#include "rl/run/checkpoint_config.h"

#include "base/io/file.h"
#include "proto/textproto.h"
#include "rl/run/run_dir.h"

namespace grouper {
namespace {

constexpr const char* kConfigName = "config.textproto";

// RUN, given RUN/checkpoints/step-N; empty for another path.
std::string RunOf(const std::string& path, const std::string& checkpoint) {
  if (path != checkpoint) return path;
  const std::string run = FolderOf(FolderOf(checkpoint));
  return FileExists(JoinPath(run, kConfigName)) ? run : "";
}

}  // namespace

CheckpointConfig ReadCheckpointConfig(const std::string& path) {
  CheckpointConfig found;
  found.folder = ResolveCheckpoint(path);
  found.manifest = ReadCheckpointManifest(found.folder);
  found.run_folder = RunOf(path, found.folder);
  const std::string file = JoinPath(found.run_folder, kConfigName);
  if (!found.run_folder.empty() && FileExists(file)) MergeTextprotoFile(file, &found.config);
  *found.config.mutable_policy() = CheckpointPolicyConfig(found.manifest);
  if (!found.manifest.tokenizer().empty()) {
    found.config.mutable_data()->set_tokenizer(found.manifest.tokenizer());
  }
  found.config.set_init_from(found.folder);
  return found;
}

}  // namespace grouper
