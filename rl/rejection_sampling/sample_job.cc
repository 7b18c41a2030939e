#include "rl/rejection_sampling/sample_job.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "kernels/numerics.h"
#include "proto/check/rubric_check.h"
#include "proto/textproto.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/verdict.h"
#include "rl/data/prompt_set.h"
#include "rl/experience/reward_stage.h"
#include "rl/experience/task_check.h"
#include "rl/rejection_sampling/sample_filter.h"
#include "rl/rejection_sampling/sample_rows.h"
#include "rl/run/settings_check.h"
#include "rl/run/trace_header.h"
#include "trace/store/trace_reader.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

constexpr const char* kIdentityName = "identity.txt";

void CheckSettings(const Config& config, const SampleJobOptions& options) {
  CheckSessionSettings(config, config.sampling().max_new_tokens());
  CheckSampleConfig(config.sample());
  USER_CHECK(!options.output.empty(),
             "[sample] --output is missing; name a file for the rows with --output FILE.jsonl");
  CheckRubrics(config.reward().rubric());
  CheckTraceFrames(config);
  USER_CHECK(config.sampling().temperature() > 0 || config.sample().samples() == 1,
             "[config] at sampling.temperature 0 all samples of a question are the same; set "
             "--samples 1",
             Named("samples", config.sample().samples()));
  USER_CHECK(!FolderExists(JoinPath(options.folder, "checkpoints")),
             "[sample] --run names the folder of a training run; name another folder for the "
             "samples",
             Named("run", options.folder));
}

// What this process has sampled so far.
struct SampleProgress {
  int64_t right = 0, samples = 0;

  void Add(const Group& group) {
    for (const reward::v1::ScoreResult& score : group.scores()) right += IsRight(score) ? 1 : 0;
    samples += group.completions_size();
  }
  // tokens and seconds are those of the last step.
  std::string Line(int64_t done, int64_t rows, int64_t tokens, double seconds) const {
    char line[160];
    std::snprintf(line, sizeof(line), "[sample] %ld of %ld questions | right %.1f%% | %.1fk tok/s",
                  static_cast<long>(done), static_cast<long>(rows),
                  100.0 * static_cast<double>(right) / static_cast<double>(samples),
                  static_cast<double>(tokens) / seconds / 1000);
    return line;
  }
};

// The reason why a member of the group does not become a row, or "" when it does. `of_question` is
// the number of rows that the group has given so far.
std::string WhyDropped(const Group& group, int member, int64_t of_question,
                       const SampleConfig& config, SeenSamples* seen) {
  std::string reason = DropReason(group, member, config);
  if (reason.empty()) reason = seen->Add(group.prompt(), group.completions(member));
  const int64_t most = config.most_per_question();
  if (reason.empty() && most > 0 && of_question >= most) reason = "over_most_per_question";
  return reason;
}

}  // namespace

SampleJob::SampleJob(const Config& config, SampleJobOptions options)
    : config_(config), options_(std::move(options)) {
  config_.mutable_data()->set_train(options_.input);
  CheckSettings(config_, options_);
  checkpoint_ = ReadCheckpointManifest(config_.init_from());
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::Make(config_.data().tokenizer());
  // The rows will be training data, so lines that data.holdout_every keeps out of training are left
  // out here too.
  data_ = ReadDataRows({.path = options_.input,
                        .setting = "--input",
                        .part = RowPart::kTraining,
                        .room_tokens = config_.sampling().max_new_tokens()},
                       config_, *tokenizer);
  MakeFolders(options_.folder);
  lock_ = std::make_unique<FolderLock>(options_.folder);
  CheckIdentity();
  PublishFile(JoinPath(options_.folder, "config.textproto"), ToTextproto(config_));
}

SampleJob::~SampleJob() = default;

std::string SampleJob::Identity() const {
  Config deciding;
  deciding.set_seed(config_.seed());
  *deciding.mutable_policy() = config_.policy();
  *deciding.mutable_data() = config_.data();
  deciding.mutable_data()->clear_train();
  deciding.mutable_data()->clear_eval();
  *deciding.mutable_sampling() = config_.sampling();
  *deciding.mutable_reward()->mutable_rubric() = config_.reward().rubric();
  deciding.mutable_sample()->set_samples(config_.sample().samples());
  deciding.mutable_sample()->set_questions_per_step(config_.sample().questions_per_step());
  return "weights_sha256: " + checkpoint_.weights_sha256() + "\ndata_sha256: " + data_.sha256 +
         "\nnumeric_profile: " + numerics::kCpuProfile + "\n" + ToTextproto(deciding);
}

void SampleJob::CheckIdentity() const {
  const std::string file = JoinPath(options_.folder, kIdentityName);
  const std::string wanted = Identity();
  if (!FileExists(file)) {
    PublishFile(file, wanted);
    return;
  }
  std::istringstream stored(ReadFile(file, "identity", 1 << 20)), asked(wanted);
  std::string there, here;
  while (true) {
    const bool more_there = static_cast<bool>(std::getline(stored, there));
    const bool more_here = static_cast<bool>(std::getline(asked, here));
    if (!more_there && !more_here) return;
    USER_CHECK(
        more_there && more_here && there == here,
        "[sample] the folder holds samples of another job; give the settings of that job, or "
        "name another folder with --run",
        Named("folder", options_.folder), Named("line_in_folder", more_there ? there : "(end)"),
        Named("line_asked_for", more_here ? here : "(end)"));
  }
}

std::vector<Prompt> SampleJob::PromptsOf(int64_t begin, int64_t end) const {
  std::vector<Prompt> prompts;
  for (int64_t i = begin; i < end; ++i) {
    prompts.push_back(PromptOfRow(data_.rows[static_cast<size_t>(i)], static_cast<uint64_t>(i)));
  }
  return prompts;
}

// The number of groups in the trace. They must be complete and those of the first rows.
int64_t SampleJob::CountSampled() {
  if (!FileExists(LearnerSegmentPath(options_.folder))) return 0;
  TraceReader reader(options_.folder);
  int64_t groups = 0;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    USER_CHECK(
        static_cast<int64_t>(entry.group.prompt().ordinal()) == groups &&
            entry.group.completions_size() == config_.sample().samples(),
        "[sample] the trace in the folder is not of this job; name another folder with --run",
        Named("folder", options_.folder), Named("group", groups));
    ++groups;
    return true;
  });
  CHECK(reader.extent().missing_completions == 0,
        "[sample] a group of the trace lacks its completions", Named("folder", options_.folder));
  return groups;
}

bool SampleJob::Sample(std::stop_token stop) {
  const int64_t rows = static_cast<int64_t>(data_.rows.size());
  int64_t done = CountSampled();
  if (done > 0 && done < rows) {
    LogInfo("[sample] the job continues after question " + std::to_string(done) + " of " +
            std::to_string(rows));
  }
  if (done == rows) return true;
  Config config = config_;
  Session session(&config, options_.session);
  RewardStage reward(config.reward(), "sample");
  const ProgramJudging programs = AskProgramJudging(config.reward(), reward.addresses(), stop);
  CheckTasks(PromptsOf(0, std::min(rows, kMostTasksChecked)), config.reward(), &reward,
             {.setting = "--input",
              .tasks_of_set = rows,
              .programs = programs,
              .print = options_.print,
              .stop = stop});
  TraceHeader header = MakeTraceHeader(config, options_.folder, config.sample().samples());
  header.set_isolation_tier(programs.TierName());
  TraceWriter traces(options_.folder, std::move(header));
  GenerateOptions options = MakeGenerateOptions(config, checkpoint_.policy_version(), &session);
  options.group_size = config.sample().samples();
  const int64_t per_step = config.sample().questions_per_step();
  SampleProgress progress;
  while (done < rows) {
    // Steps begin at fixed row numbers, also when the job was stopped in the middle of one.
    const int64_t step = done / per_step, end = std::min(rows, (step + 1) * per_step);
    const Stopwatch watch;
    const int64_t tokens_before = session.engine().stats().sampled_tokens;
    const std::vector<Prompt> prompts = PromptsOf(done, end);
    std::vector<Group> groups;
    if (stop.stop_requested() || !session.engine().Generate(prompts, options, &groups, stop)) {
      return false;
    }
    KILL_POINT("sample.generated");
    if (!ScoreUnlessStopped(&reward, &groups, stop)) return false;
    for (Group& group : groups) {
      AssignRewardMoments(config.advantage(), &group);
      progress.Add(group);
    }
    traces.AppendStep(step, groups);
    KILL_POINT("sample.traced");
    done = end;
    const int64_t tokens = session.engine().stats().sampled_tokens - tokens_before;
    if (options_.print) options_.print(progress.Line(done, rows, tokens, watch.Seconds()));
  }
  return true;
}

std::string SampleJob::Publish() {
  RowWriter rows(options_.output, config_.data());
  SampleCounts counts;
  SeenSamples seen;
  std::set<std::string> graders;
  TraceReader reader(options_.folder);
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    const Group& group = entry.group;
    const DataRow& row = data_.rows.at(group.prompt().ordinal());
    int64_t of_question = 0;
    ++counts.questions;
    for (int i = 0; i < group.completions_size(); ++i) {
      ++counts.samples;
      if (!group.scores(i).grader_version().empty()) {
        graders.insert(group.scores(i).grader_version());
      }
      const std::string reason = WhyDropped(group, i, of_question, config_.sample(), &seen);
      if (!reason.empty()) {
        ++counts.dropped[reason];
        continue;
      }
      ++of_question;
      ++counts.rows;
      rows.Add(row, group, i);
    }
    return true;
  });
  const std::string sha256 = rows.Publish();
  KILL_POINT("sample.rows_published");
  std::string versions;
  for (const std::string& version : graders) versions += (versions.empty() ? "" : ", ") + version;
  SampleLineage lineage{.config = config_,
                        .checkpoint = checkpoint_,
                        .input = options_.input,
                        .input_sha256 = data_.sha256,
                        .skipped = data_.skipped,
                        .folder = options_.folder,
                        .output = options_.output,
                        .output_sha256 = sha256,
                        .graders = versions,
                        .counts = counts};
  const std::string text = ManifestJson(lineage);
  PublishFile(options_.output + ".manifest.json", text + "\n");
  return text;
}

}  // namespace grouper
