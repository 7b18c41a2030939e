#include "rl/replay/replay.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/io/file.h"
#include "base/log.h"
#include "kernels/numerics.h"
#include "policy/checkpoint/checkpoint_difference.h"
#include "policy/checkpoint/file_tensors.h"
#include "proto/textproto.h"
#include "rl/replay/recorded_steps.h"
#include "rl/run/run_dir.h"
#include "rl/training/trainer.h"

namespace grouper {
namespace {

// The run folder that the replay works in; it is removed with this object.
class WorkFolder {
 public:
  WorkFolder() : path_(std::filesystem::temp_directory_path() / "grouper-replay-XXXXXX") {
    USER_CHECK(
        mkdtemp(path_.data()) != nullptr,
        "[replay] a folder to work in could not be made; set TMPDIR to one that can be written",
        Named("folder", path_));
  }
  ~WorkFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  // Makes the checkpoint this folder's own. Its files are linked, not copied; no other file of the
  // run is taken.
  void Take(const std::string& checkpoint, Manifest manifest) const {
    const std::string folder = CheckpointPath(path_, manifest.step());
    MakeFolders(folder);
    for (const ManifestFile& file : manifest.file()) {
      std::filesystem::create_symlink(std::filesystem::absolute(JoinPath(checkpoint, file.name())),
                                      JoinPath(folder, file.name()));
    }
    manifest.clear_metrics_bytes();
    manifest.clear_events_bytes();
    manifest.clear_trace_bytes();
    manifest.clear_trace_segment();
    StoreManifest(folder, manifest);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Config ConfigOf(const ReplayOptions& options) {
  const std::string file = JoinPath(options.run, "config.textproto");
  USER_CHECK(FileExists(file),
             "[replay] there is no such run; name the folder that was given to grouper train --run",
             Named("run", options.run));
  Config config;
  MergeTextprotoFile(file, &config);
  SetFields(options.set, &config);
  // Neither an evaluation nor a checkpoint is part of a step. Recorded rewards are already
  // shuffled.
  config.set_eval_every(0);
  config.mutable_data()->set_eval("");
  config.mutable_reward()->set_shuffle(false);
  return config;
}

void CheckProfile(const std::string& what, const std::string& profile) {
  USER_CHECK(profile == numerics::kCpuProfile,
             "[replay] the record was made under another numeric profile, and this program would "
             "compute other bits; use the build that made it",
             Named("record", what), Named("its_profile", profile),
             Named("this_program", numerics::kCpuProfile));
}

// The verdicts of the record in place of a reward service.
class RecordedVerdicts final : public GroupScorer {
 public:
  // Of the step that is made next; outlives its scoring.
  void set_recorded(const std::vector<Group>* groups) { recorded_ = groups; }

  int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
    std::map<uint64_t, const reward::v1::ScoreResult*> known;
    for (const Group& group : *recorded_) {
      for (int i = 0; i < group.scores_size(); ++i) {
        known[group.completions(i).rollout_id()] = &group.scores(i);
      }
    }
    for (Group& group : *groups) {
      group.clear_scores();
      for (const Completion& completion : group.completions()) {
        const auto found = known.find(completion.rollout_id());
        // A rollout that the record lacks is a difference, which the comparison names.
        if (found == known.end()) {
          group.add_scores()->set_status(reward::v1::ScoreResult::INTERNAL);
        } else {
          *group.add_scores() = *found->second;
        }
      }
    }
    return 0;
  }

 private:
  const std::vector<Group>* recorded_ = nullptr;
};

// Repeats the steps of one run, one after the other.
class Replayer {
 public:
  Replayer(const ReplayOptions& options, const RecordedSteps& steps)
      : options_(options), config_(ConfigOf(options)) {
    USER_CHECK(steps.first() <= steps.last(),
               "[replay] the record holds no complete step yet; try again later",
               Named("run", options.run));
    USER_CHECK(
        options.step >= steps.first() && options.step <= steps.last(),
        "[replay] the step is not in the record; name one from the first to the last complete "
        "step",
        Named("step", options.step), Named("first", steps.first()), Named("last", steps.last()));
    CheckProfile(options.run, steps.header().numeric_profile());
  }

  ReplayResult Run(RecordedSteps* steps, std::stop_token stop);

 private:
  void FindStart();
  bool CompareGroups(int64_t step, const std::vector<Group>& recorded,
                     const std::vector<Group>& made);
  void CompareEnd(int64_t step, const RecordedStep& recorded, int64_t checked_tokens,
                  Trainer* trainer);
  void CompareWeights(int64_t step, uint64_t version, Trainer* trainer);
  void Note(int64_t step, const std::string& place, const std::string& field,
            const std::string& recorded, const std::string& made);

  ReplayOptions options_;
  Config config_;
  ReplayResult result_;
  WorkFolder folder_;
};

// Finds the newest valid checkpoint at or before the step. Like a resume, it passes over invalid
// ones with a warning.
void Replayer::FindStart() {
  for (const int64_t step : CheckpointSteps(options_.run)) {
    if (step > options_.step) continue;
    const std::string checkpoint = CheckpointPath(options_.run, step);
    Manifest manifest;
    try {
      manifest = VerifyCheckpoint(checkpoint);
    } catch (const Error& error) {
      LogWarn("[replay] a checkpoint is not valid, so an older one is used: " + error.message());
      continue;
    }
    CheckProfile(checkpoint, manifest.numeric_profile());
    folder_.Take(checkpoint, manifest);
    result_.start = checkpoint;
    result_.first_step = step;
    return;
  }
}

void Replayer::Note(int64_t step, const std::string& place, const std::string& field,
                    const std::string& recorded, const std::string& made) {
  if (result_.difference) return;
  result_.difference.emplace();
  result_.difference->step = step;
  result_.difference->place = place;
  result_.difference->field = field;
  result_.difference->recorded = recorded;
  result_.difference->made = made;
}

// Compares every tensor with the checkpoint after the step, if there is one.
void Replayer::CompareWeights(int64_t step, uint64_t version, Trainer* trainer) {
  const std::string checkpoint = CheckpointPath(options_.run, step + 1);
  if (!FolderExists(checkpoint)) return;
  std::string damage;
  Manifest manifest;
  try {
    manifest = VerifyCheckpoint(checkpoint);
  } catch (const Error& error) {
    damage = error.message();
    LogWarn("[replay] " + damage);
  }
  const Reference* reference = trainer->reference();
  std::optional<TensorDifference> difference;
  bool readable = true;
  try {
    difference = FirstTensorDifference(checkpoint, trainer->session().policy(),
                                       &trainer->learner().optimizer(),
                                       reference == nullptr ? nullptr : &reference->policy());
  } catch (const Error&) {
    if (damage.empty()) throw;
    readable = false;  // a file is missing or cut off, so the damage is the difference
  }
  if (difference) {
    std::string place = checkpoint + " tensor " + difference->tensor;
    if (difference->element >= 0) place += " element " + std::to_string(difference->element);
    Note(step, place, difference->file, difference->stored, difference->here);
    result_.difference->tensor = difference->tensor;
  } else if (!damage.empty()) {
    Note(step, checkpoint, "MANIFEST", damage,
         readable ? "every tensor is equal" : "the tensors cannot be compared");
  }
  if (damage.empty() && manifest.policy_version() != version) {
    Note(step, checkpoint, "policy_version", std::to_string(manifest.policy_version()),
         std::to_string(version));
  }
  result_.weights_from = "checkpoint";
}

// True when the step's groups are those of the record. Counts what was compared.
bool Replayer::CompareGroups(int64_t step, const std::vector<Group>& recorded,
                             const std::vector<Group>& made) {
  result_.difference = FirstDifference(recorded, made, config_.policy().moe().experts_per_token());
  if (result_.difference) {
    result_.difference->step = step;
    return false;
  }
  for (const Group& group : made) {
    result_.rollouts += group.completions_size();
    for (const Completion& completion : group.completions()) {
      result_.tokens += completion.ids_size();
    }
  }
  return true;
}

// Compares the end of the step: version, counts, reference and weights.
void Replayer::CompareEnd(int64_t step, const RecordedStep& recorded, int64_t checked_tokens,
                          Trainer* trainer) {
  const uint64_t version = trainer->learner().version();
  const std::string place = "step " + std::to_string(step);
  const auto same = [&](const std::string& field, uint64_t then, uint64_t now) {
    if (then != now) Note(step, place, field, std::to_string(then), std::to_string(now));
  };
  same("policy_version", recorded.end.policy_version(), version);
  same("checked_tokens", recorded.end.checked_tokens(), static_cast<uint64_t>(checked_tokens));
  const Reference* reference = trainer->reference();
  if (reference != nullptr && recorded.end.reference_digest() != reference->digest()) {
    Note(step, place, "reference_digest", BitsText(recorded.end.reference_digest()),
         BitsText(reference->digest()));
  }
  result_.weights_from.clear();
  CompareWeights(step, version, trainer);
  const uint64_t digest = trainer->session().policy().weights().Digest();
  if (!recorded.next_weights_digest) return;
  if (result_.weights_from.empty()) result_.weights_from = "next step";
  if (*recorded.next_weights_digest != digest) {
    Note(step, "weights after step " + std::to_string(step), "weights_digest",
         BitsText(*recorded.next_weights_digest), BitsText(digest));
  }
}

ReplayResult Replayer::Run(RecordedSteps* steps, std::stop_token stop) {
  FindStart();
  if (options_.print) {
    options_.print("[replay] from " +
                   (result_.start.empty() ? "the first weights" : result_.start));
  }
  RecordedVerdicts verdicts;
  Trainer trainer(config_, folder_.path(), options_.session, {.scorer = &verdicts});
  CHECK(trainer.next_step() == result_.first_step, "[replay] the trainer starts at another step",
        Named("step", trainer.next_step()), Named("expected", result_.first_step));
  for (int64_t step = result_.first_step; step <= options_.step && !result_.difference; ++step) {
    result_.last_step = step;
    const RecordedStep recorded = steps->Read(step);
    verdicts.set_recorded(&recorded.groups);
    std::optional<StepExperience> experience = trainer.Collect(stop);
    if (!experience) {
      result_.stopped = true;
      return std::move(result_);
    }
    if (!CompareGroups(step, recorded.groups, experience->rollout.groups)) break;
    const int64_t checked = trainer.checked_tokens();
    trainer.Learn(std::move(*experience), stop);
    CompareEnd(step, recorded, trainer.checked_tokens() - checked, &trainer);
    if (options_.print && step < options_.step) {
      options_.print("[replay] step " + std::to_string(step) +
                     " was repeated: " + (result_.difference ? "different" : "equal"));
    }
  }
  result_.weights_sha256 = WeightsSha256(trainer.session().policy().weights());
  return std::move(result_);
}

}  // namespace

ReplayResult Replay(const ReplayOptions& options, std::stop_token stop) {
  USER_CHECK(!options.run.empty(), "[replay] name a run folder: grouper replay RUN --step N");
  RecordedSteps steps(options.run);
  return Replayer(options, steps).Run(&steps, stop);
}

}  // namespace grouper
