#include "rl/command/run_options.h"

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/output.h"
#include "proto/check/range_check.h"
#include "proto/textproto.h"
#include "rl/algorithm/profile.h"
#include "rl/run/checkpoint_config.h"
#include "rl/run/run_dir.h"

namespace grouper {
namespace {

// Makes a path of a config file relative to that file. Absolute paths and "tasks:..." stay.
std::string Relative(const std::string& file, const std::string& path) {
  if (path.empty() || path[0] == '/' || path.rfind("tasks:", 0) == 0) return path;
  return JoinPath(FolderOf(file), path);
}

}  // namespace

Config LoadConfig(const RunOptions& options) {
  USER_CHECK(!options.config_files.empty(),
             "[config] --config is missing; name a config with --config FILE, such as "
             "examples/gsm8k.textproto");
  Config config;
  for (const std::string& file : options.config_files) {
    Config part;
    MergeTextprotoFile(file, &part);
    if (part.data().has_train()) {
      part.mutable_data()->set_train(Relative(file, part.data().train()));
    }
    if (part.data().has_eval()) part.mutable_data()->set_eval(Relative(file, part.data().eval()));
    if (part.has_init_from()) part.set_init_from(Relative(file, part.init_from()));
    if (part.reference().has_init_from()) {
      part.mutable_reference()->set_init_from(Relative(file, part.reference().init_from()));
    }
    config.MergeFrom(part);
  }
  SetFields(options.set, &config);
  ApplyProfile(&config);
  CheckRanges(config);
  return config;
}

Config LoadConfigFor(const RunOptions& options, const std::string& checkpoint) {
  Config config;
  USER_CHECK(!options.config_files.empty() || !checkpoint.empty(),
             "[checkpoint] --checkpoint is missing; name a run or checkpoint folder with "
             "--checkpoint DIR");
  if (options.config_files.empty()) {
    config = ReadCheckpointConfig(checkpoint).config;
    SetFields(options.set, &config);
    ApplyProfile(&config);
    CheckRanges(config);
    return config;
  }
  config = LoadConfig(options);
  const std::string& from = checkpoint.empty() ? config.init_from() : checkpoint;
  USER_CHECK(!from.empty(),
             "[checkpoint] --checkpoint is missing; name a run or checkpoint folder with "
             "--checkpoint DIR");
  config.set_init_from(ResolveCheckpoint(from));
  return config;
}

void Say(bool json, const std::string& line) { WriteOutput(json ? 2 : 1, line + "\n"); }

}  // namespace grouper
