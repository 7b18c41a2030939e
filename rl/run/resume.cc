#include "rl/run/resume.h"

#include "base/digest.h"
#include "base/error.h"
#include "base/io/json.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "policy/checkpoint/checkpoint.h"
#include "proto/textproto.h"
#include "rl/algorithm/schedule.h"
#include "rl/learner/update_stage.h"

namespace grouper {
namespace {

constexpr int kKeptCheckpoints = 3;

// The updates of a whole run, which its schedules count: of `grouper sft` one per step.
int64_t WholeRun(const Config& config, bool sft) {
  return sft ? config.sft().steps() : UpdatesOf(config);
}

// What a schedule that ends with the run has to say if this start makes the run longer or shorter
// than the last one did, whose config is still in the folder.
std::string MovedSchedule(const RunState& run, const Manifest& manifest) {
  const std::string file = run.folder.File("config.textproto");
  if (!FileExists(file)) return "";
  Config last;
  MergeTextproto(ReadFile(file, "run config", 1 << 20), file, &last);
  const bool sft = manifest.stage() == "sft";
  return MovedScheduleText(run.config.optimizer(), static_cast<int64_t>(manifest.policy_version()),
                           WholeRun(last, sft), WholeRun(run.config, sft));
}

void LoadFirstWeights(const RunState& run) {
  AddInput("data.train", run.data, &run.inputs);
  AddInput("init_from", run.session.LoadFirstWeights(run.config), &run.inputs);
  if (run.reference == nullptr) return;
  run.reference->Refresh(run.session.policy(), 0);
  if (run.config.reference().init_from().empty()) return;
  const std::string folder = ResolveCheckpoint(run.config.reference().init_from());
  AddInput("reference.init_from", VerifyCheckpoint(folder).weights_sha256(), &run.inputs);
  run.reference->LoadFrom(folder);
}

}  // namespace

DiskWait MakeDiskWait(const Config& config) {
  return DiskWait({.seconds = config.disk_wait_seconds(),
                   .say = [](const std::string& line) { LogWarn(line); }});
}

ResumePoint ResumeRun(const RunState& run, int64_t steps) {
  std::string moved;  // what a resume with another end of the schedule is told
  const auto store_config = [&](bool resuming) {
    run.disk_wait.Do([&] { run.folder.StoreConfig(ToTextproto(run.config), resuming); });
  };
  // A checkpoint is read once: it is loaded while it is verified.
  const auto load = [&](const RunDir::Found& found) {
    KILL_POINT("resume.found");
    // This comes before the config is compared, because a difference in vocabulary size would say
    // less.
    CheckTokenizer(found.folder, found.manifest, run.config);
    run.inputs = CheckInputs(found.manifest.input(),
                             run.folder.HasConfig() ? run.folder.StoredConfig() : run.config,
                             run.config, run.data);
    moved = MovedSchedule(run, found.manifest);
    store_config(true);
    KILL_POINT("resume.config_stored");
    LoadCheckpoint(found.folder, &run.session.policy(), &run.learner.optimizer());
    if (run.reference == nullptr) return;
    run.reference->Restore(found.folder,
                           found.manifest.has_reference_version()
                               ? std::optional<uint64_t>(found.manifest.reference_version())
                               : std::nullopt);
  };
  const std::optional<RunDir::Found> found = run.folder.NewestCheckpoint(load);
  if (!found) {
    LoadFirstWeights(run);
    store_config(false);
  }
  if (!moved.empty()) LogWarn("[run] " + moved);
  run.folder.Tidy(kKeptCheckpoints, run.config.checkpoint_keep_every());
  if (!found) return {};

  const Manifest& manifest = found->manifest;
  run.session.WeightsChanged();
  run.learner.optimizer().set_updates(static_cast<int64_t>(manifest.policy_version()));
  run.learner.set_version(manifest.policy_version());
  KILL_POINT("resume.loaded");
  if (manifest.step() < steps) {
    LogInfo("[run] resumes from " + found->folder);
    const std::string result = run.folder.File("result.json");
    if (FileExists(result)) RemoveTree(result);
  }
  return {.resumed = true,
          .step = manifest.step(),
          .prompts_used = manifest.prompts_used(),
          .metrics_bytes = static_cast<int64_t>(manifest.metrics_bytes()),
          .events_bytes = static_cast<int64_t>(manifest.events_bytes()),
          .trace = {manifest.trace_segment(), manifest.trace_bytes()}};
}

void CheckpointRun(const RunState& run, int64_t step, Manifest manifest) {
  manifest.set_step(step);
  manifest.set_policy_version(run.learner.version());
  manifest.set_seed(run.config.seed());
  manifest.set_config_sha256(Sha256Hex(ToTextproto(run.config)));
  manifest.set_tokenizer(run.config.data().tokenizer());
  *manifest.mutable_input() = run.inputs;
  if (run.reference != nullptr && run.reference->version()) {
    manifest.set_reference_version(*run.reference->version());
  }
  KILL_POINT("save.begun");
  run.disk_wait.Do([&] {
    SaveCheckpoint(run.folder.CheckpointFolder(step), run.session.policy(),
                   &run.learner.optimizer(), manifest,
                   run.reference == nullptr ? nullptr : &run.reference->policy());
  });
  KILL_POINT("save.published");
  run.folder.Tidy(kKeptCheckpoints, run.config.checkpoint_keep_every());
  KILL_POINT("save.tidied");
}

void SaveOnTheWayOut(int64_t steps, DiskWait* wait, const std::function<void()>& save) {
  try {
    wait->WaitNoMore();
    save();
    LogInfo("[run] an error ends the run; the state after " + std::to_string(steps) +
            " steps is saved, and the same command goes on from there");
  } catch (const std::exception& error) {
    LogWarn(std::string("[run] the state could not be saved on the way out, so the same command "
                        "goes on from the last checkpoint: ") +
            error.what());
  }
}

void StoreResult(const RunDir& run, int64_t steps, uint64_t policy_version,
                 const std::string& weights_sha256, DiskWait* wait) {
  JsonWriter w;
  w.BeginObject().Key("steps").Value(steps);
  w.Key("policy_version").Value(policy_version);
  w.Key("weights_sha256").Value(weights_sha256);
  w.EndObject();
  wait->Do([&] { PublishFile(run.File("result.json"), w.text() + "\n"); });
  KILL_POINT("run.result_stored");
}

}  // namespace grouper
