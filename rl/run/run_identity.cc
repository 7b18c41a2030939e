#include "rl/run/run_identity.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <sstream>

#include "base/error.h"
#include "base/io/file.h"
#include "base/log.h"
#include "policy/checkpoint/checkpoint.h"
#include "proto/identity.pb.h"
#include "proto/textproto.h"
#include "rl/run/run_dir.h"

namespace grouper {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Clears the setting at the path "a.b" below the message, and a message of settings that is then
// empty, because an empty one says the same as none.
void ClearSetting(const std::string& path, Message* message) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(path.substr(0, dot));
  CHECK(field != nullptr, "[config] an option (may_differ) names no setting", Named("name", path));
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  if (dot != std::string::npos) {
    if (!reflection.HasField(*message, field)) return;
    Message* below = reflection.MutableMessage(message, field);
    ClearSetting(path.substr(dot + 1), below);
    if (below->ByteSizeLong() > 0) return;
  }
  reflection.ClearField(message, field);
}

// Compares the first weights of a resumed run with those that it began with. The folder may be
// gone, because only a new run reads it.
void CheckFirstWeights(const std::string& setting, const std::string& recorded,
                       const std::string& stored_path, const std::string& path) {
  if (path == stored_path) return;
  constexpr const char* kAdvice =
      "; give the setting that the run began with, or name another run folder with --run";
  USER_CHECK(path.empty() == stored_path.empty(),
             "[run] " + setting + " was " + (path.empty() ? "removed" : "added") +
                 " since the run began, and the run would have begun with other weights" + kAdvice,
             Named("at_the_start", stored_path.empty() ? "(empty)" : stored_path),
             Named("now", path.empty() ? "(empty)" : path));
  if (!recorded.empty() && FolderExists(path)) {
    const std::string weights = VerifyCheckpoint(ResolveCheckpoint(path)).weights_sha256();
    USER_CHECK(weights == recorded,
               "[run] " + setting +
                   " names other weights than those that the run began with, and a resumed run "
                   "does not read it" +
                   kAdvice,
               Named("folder", path), Named("weights_sha256", weights),
               Named("weights_sha256_at_the_start", recorded));
    return;
  }
  LogInfo("[run] " + setting +
          " is not read, because the run goes on from its own checkpoint: " + path);
}

}  // namespace

std::vector<std::string> IdentityLines(Config config) {
  const auto& options = Config::descriptor()->options();
  for (int i = 0; i < options.ExtensionSize(may_differ); ++i) {
    ClearSetting(options.GetExtension(may_differ, i), &config);
  }
  std::vector<std::string> lines;
  std::istringstream in(ToTextproto(config));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string InputOf(const RunInputs& inputs, const std::string& setting) {
  for (const RunInput& input : inputs) {
    if (input.setting() == setting) return input.content();
  }
  return "";
}

void AddInput(const std::string& setting, const std::string& content, RunInputs* inputs) {
  if (content.empty()) return;
  RunInput* input = inputs->Add();
  input->set_setting(setting);
  input->set_content(content);
}

RunInputs CheckInputs(const RunInputs& recorded, const Config& stored, const Config& config,
                      const std::string& data) {
  RunInputs inputs = recorded;
  const std::string then = InputOf(recorded, "data.train");
  if (then.empty()) {
    USER_CHECK(stored.data().train() == config.data().train(),
               "[run] data.train has changed since the run began; give the setting that it began "
               "with, or name another run folder with --run",
               Named("at_the_start", stored.data().train()), Named("now", config.data().train()));
    LogInfo(
        "[run] the checkpoint does not say which data the run has read; it goes on with the data "
        "as they are, and records them from now on");
    AddInput("data.train", data, &inputs);
  } else {
    USER_CHECK(then == data,
               "[data] the data of this run have changed since its checkpoint, so its further "
               "steps would see other rows than planned; put the old file back, or begin a new "
               "run from these weights: --run OTHER --set init_from=THIS_RUN",
               Named("data.train", config.data().train()), Named("sha256", data),
               Named("sha256_of_the_run", then));
  }
  CheckFirstWeights("init_from", InputOf(recorded, "init_from"), stored.init_from(),
                    config.init_from());
  CheckFirstWeights("reference.init_from", InputOf(recorded, "reference.init_from"),
                    stored.reference().init_from(), config.reference().init_from());
  return inputs;
}

}  // namespace grouper
