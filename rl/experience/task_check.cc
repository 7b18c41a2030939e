#include "rl/experience/task_check.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "reward/service/client.h"

namespace grouper {
namespace {

using reward::v1::ScoreResult;

constexpr size_t kTasksPerCall = 1024;
constexpr int kMostGoldsTried = 8;  // of a task
constexpr size_t kMostPlaces = 3;   // named per reason
constexpr double kLineSeconds = 5;  // between two lines about the progress

void StopIfAsked(const std::stop_token& stop) {
  if (!stop.stop_requested()) return;
  ThrowUnavailable(
      "[reward] a signal stops the run before it has begun; run the same command again to "
      "continue");
}

// A completion that gives the gold in the form that the rubric asks for.
std::string CompletionOf(const std::string& gold, const Rubric& rubric) {
  const std::string thought = rubric.think_required() ? "<think></think>" : "";
  switch (rubric.extraction()) {
    case Rubric::BOXED:
      return thought + "\\boxed{" + gold + "}";
    case Rubric::ANSWER_TAG:
      return thought + "<answer>" + gold + "</answer>";
    case Rubric::GSM8K:
      return thought + "#### " + gold;
    case Rubric::LINE:
      return thought + "\n" + rubric.marker() + " " + gold;
    case Rubric::WHOLE:
      break;
  }
  return thought + gold;
}

// A group whose verdicts say whether the task can be judged. For a number, each completion is one
// of its golds. For a program, the completion has no answer, so that nothing is run.
Group TrialOf(const Prompt& task, const Rubric& rubric, uint64_t* next_id) {
  Group group;
  *group.mutable_prompt() = task;
  group.mutable_prompt()->set_prefill(task.has_code() ? "<think>" : "");
  const int golds = std::min(task.math().golds_size(), kMostGoldsTried);
  for (int i = 0; i < std::max(1, golds); ++i) {
    Completion* completion = group.add_completions();
    completion->set_rollout_id((*next_id)++);
    completion->set_index(static_cast<uint32_t>(i));
    completion->set_finish_reason(Completion::STOP);
    if (i < golds) completion->set_text(CompletionOf(task.math().golds(i), rubric));
  }
  return group;
}

// Why no completion of the task can be right; empty if one can, and also when the service had no
// time or failed, because that is not the task's fault.
std::string FaultOf(const Group& trial) {
  std::string fault;
  for (const ScoreResult& score : trial.scores()) {
    if (score.status() == ScoreResult::UNSCORABLE) {
      fault = score.reason();
    } else if (score.status() == ScoreResult::SCORED && trial.prompt().has_math() &&
               score.verdict() != ScoreResult::CORRECT) {
      fault = "not_equal_to_itself." + score.reason();
    } else {
      return "";
    }
  }
  return fault;
}

struct Kind {
  const char* name;  // what is wrong with the faulty ones
  bool programs = false;
  int64_t checked = 0, faulty = 0;
  struct Fault {
    int64_t count = 0;
    std::string places;  // "train.jsonl:3, train.jsonl:9"
  };
  std::map<std::string, Fault> faults;

  void Add(const std::string& fault, const std::string& place) {
    ++checked;
    if (fault.empty()) return;
    ++faulty;
    Fault& f = faults[fault];
    if (static_cast<size_t>(f.count++) < kMostPlaces) {
      f.places += (f.places.empty() ? "" : ", ") + place;
    } else if (static_cast<size_t>(f.count) == kMostPlaces + 1) {
      f.places += ", ...";
    }
  }
  std::string Faults() const {
    std::string text;
    for (const auto& [fault, f] : faults) {
      text += (text.empty() ? "" : "; ") + fault + " " + std::to_string(f.count) + " (" + f.places +
              ")";
    }
    return text;
  }
};

// "[data] data.train: 12 of 400 right answers (golds) cannot be graded, not even against
// themselves: gold_unparsable 12 (a.jsonl:3, ...)".
std::string Sentence(const Kind& kind, const TaskCheckOptions& options) {
  return "[data] " + options.setting + ": " + std::to_string(kind.faulty) + " of " +
         std::to_string(kind.checked) + " " + kind.name + ": " + kind.Faults();
}

void Judge(const Kind& kind, const RewardConfig& config, const TaskCheckOptions& options) {
  if (kind.faulty == 0) return;
  const std::string sentence = Sentence(kind, options);
  if (kind.faulty < kind.checked) {
    LogWarn(sentence + "; correct or remove these rows. Their completions are not trained on.");
    return;
  }
  USER_CHECK(kind.programs, sentence +
                                "; nobody could ever be right: correct data.answer_field, "
                                "data.gold_after or the rubric");
  USER_CHECK(config.allow_unjudged(),
             sentence + "; " +
                 (options.programs.problem.empty() ? "correct the tests of these tasks"
                                                   : options.programs.problem) +
                 "; or set reward.allow_unjudged=true to train without programs");
  LogWarn(sentence + "; the run starts all the same, because reward.allow_unjudged is true");
}

}  // namespace

std::string ProgramJudging::TierName() const { return reward::v1::IsolationTier_Name(tier); }

ProgramJudging AskProgramJudging(const RewardConfig& config,
                                 const std::vector<std::string>& addresses, std::stop_token stop) {
  std::map<std::string, ServiceHealth> answers;
  const Stopwatch watch;
  std::string problem;
  do {
    if (!problem.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    for (const std::string& address : addresses) {
      StopIfAsked(stop);
      const double rest = config.max_wait_seconds() - watch.Seconds();
      const auto deadline =
          std::chrono::milliseconds(static_cast<int64_t>(1000 * std::clamp(rest, 1.0, 5.0)));
      try {
        answers[address] = AskHealth(address, deadline);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kUnavailable) throw;
        if (problem.empty())
          LogWarn("[reward] the run waits for a reward service: " + error.message());
        problem = error.message();
      }
    }
  } while (answers.empty() && watch.Seconds() < config.max_wait_seconds());
  if (answers.empty()) {
    ThrowUnavailable(
        "[reward] no reward service answers; start `grouper-reward serve` there or correct "
        "reward.addresses",
        Named("problem", problem));
  }
  ProgramJudging judging{.tier = reward::v1::NAMESPACES};
  for (const auto& [address, health] : answers) {
    const reward::v1::Capabilities& can = health.capabilities;
    const bool python = std::find(can.languages().begin(), can.languages().end(), "python") !=
                        can.languages().end();
    reward::v1::IsolationTier tier = can.isolation_tier();
    // Services of earlier versions name no tier; they judged programs in namespaces only.
    if (python && tier == reward::v1::NOT_ISOLATED) tier = reward::v1::NAMESPACES;
    if (!python) tier = reward::v1::NOT_ISOLATED;
    judging.tier = std::min(judging.tier, tier);
    if (tier >= static_cast<int>(config.min_isolation())) continue;
    judging.problem = "the reward service " + address + " does not judge programs at the tier " +
                      RewardConfig::Isolation_Name(config.min_isolation()) +
                      " (reward.min_isolation), its own is " +
                      reward::v1::IsolationTier_Name(tier) + ": " + Excerpt(can.isolation(), 300) +
                      "; see docs/running.md, \"Containers\"";
  }
  return judging;
}

void CheckTasks(std::span<const Prompt> tasks, const RewardConfig& config, GroupScorer* scorer,
                const TaskCheckOptions& options) {
  std::map<std::string, const Rubric*> rubrics;
  for (const Rubric& rubric : config.rubric()) rubrics[rubric.name()] = &rubric;
  Kind golds{.name = "right answers (golds) cannot be graded, not even against themselves"},
      programs{.name = "tasks that ask for a program cannot be judged", .programs = true};
  const Stopwatch watch;
  double said = 0;
  uint64_t next_id = 0;
  bool tried_gold = false, tried_program = false;
  if (options.print && options.tasks_of_set > static_cast<int64_t>(tasks.size())) {
    options.print("[data] " + options.setting + ": " + std::to_string(tasks.size()) + " of " +
                  std::to_string(options.tasks_of_set) + " tasks are checked before the start");
  }
  for (size_t begin = 0; begin < tasks.size(); begin += kTasksPerCall) {
    const size_t end = std::min(tasks.size(), begin + kTasksPerCall);
    std::vector<Group> trials;
    for (const Prompt& task : tasks.subspan(begin, end - begin)) {
      if (task.has_code() && !options.programs.problem.empty()) {
        programs.Add("no_isolation", task.task_id());
        continue;
      }
      const auto rubric = rubrics.find(task.rubric());
      USER_CHECK(rubric != rubrics.end(),
                 "[reward] a prompt names a rubric that reward.rubric does not define",
                 Named("task", task.task_id()), Named("rubric", task.rubric()));
      bool& tried = task.has_code() ? tried_program : tried_gold;
      if (!options.generated || !tried) trials.push_back(TrialOf(task, *rubric->second, &next_id));
      tried = true;
    }
    try {
      if (!trials.empty()) scorer->Score(&trials, nullptr, options.stop);
    } catch (const Error&) {
      StopIfAsked(options.stop);
      throw;
    }
    for (const Group& trial : trials) {
      const Prompt& task = trial.prompt();
      (task.has_code() ? programs : golds).Add(FaultOf(trial), task.task_id());
    }
    if (options.print && watch.Seconds() - said > kLineSeconds && end < tasks.size()) {
      said = watch.Seconds();
      options.print("[data] " + options.setting + ": " + std::to_string(end) + " of " +
                    std::to_string(tasks.size()) + " tasks are checked");
    }
  }
  Judge(golds, config, options);
  Judge(programs, config, options);
}

std::string EvalSetting(const Config& config) {
  return config.data().eval().empty() ? "held-out lines of data.train" : "data.eval";
}

ProgramJudging CheckTasksOfRun(const Config& config, const PromptSet& prompts,
                               std::span<const Prompt> questions, RewardStage* reward,
                               std::function<void(const std::string&)> print,
                               std::stop_token stop) {
  TaskCheckOptions options{.setting = "data.train", .print = std::move(print), .stop = stop};
  options.programs = AskProgramJudging(config.reward(), reward->addresses(), stop);
  options.tasks_of_set = prompts.rows();
  options.generated = prompts.rows() == 0;
  const std::vector<Prompt> tasks = prompts.TasksToCheck(kMostTasksChecked);
  CheckTasks(tasks, config.reward(), reward, options);
  options.setting = EvalSetting(config);
  options.tasks_of_set = static_cast<int64_t>(questions.size());
  options.generated = config.data().eval().rfind("tasks:", 0) == 0;
  if (options.tasks_of_set > kMostTasksChecked) questions = questions.first(kMostTasksChecked);
  CheckTasks(questions, config.reward(), reward, options);
  return options.programs;
}

}  // namespace grouper
