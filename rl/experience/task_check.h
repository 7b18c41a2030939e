// Looks at the tasks of a run before it samples: whether the reward services can judge them at all.
// A right answer (gold) is graded against itself, and the tests of a program are read. Without this
// a run whose golds nobody can parse, or whose programs nobody may run, would sample for hours and
// learn nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "proto/reward.pb.h"
#include "proto/trace.pb.h"
#include "rl/data/prompt_set.h"
#include "rl/experience/group_scorer.h"
#include "rl/experience/reward_stage.h"

namespace grouper {

// How programs are judged, by what the services say of themselves.
struct ProgramJudging {
  reward::v1::IsolationTier tier = reward::v1::NOT_ISOLATED;  // the weakest of the services
  std::string problem;  // why programs are not judged, with the remedy; empty: they are judged
  std::string TierName() const;
};

// Asks each service once, and again for at most reward.max_wait_seconds while none answers. A
// service that does not answer while another does is left out. kUnavailable when none answers.
ProgramJudging AskProgramJudging(const RewardConfig& config,
                                 const std::vector<std::string>& addresses,
                                 std::stop_token stop = {});

// At most this many tasks of a set are looked at: of training rows evenly spread over the file, of
// other sets the first. A gold takes tens of microseconds, so the check takes seconds at most.
inline constexpr int64_t kMostTasksChecked = 50'000;

struct TaskCheckOptions {
  std::string setting;       // names the data in messages: "data.train"
  int64_t tasks_of_set = 0;  // for messages; 0: the set has no end
  // Built-in tasks, whose golds and tests are right by construction: one of each kind is tried.
  bool generated = false;
  ProgramJudging programs;
  std::function<void(const std::string&)> print = {};  // a line about the progress
  std::stop_token stop;
};

// Tasks that cannot be judged are counted, and the first of them are named, in one warning. kUser
// when no gold can be graded, and when no program can be judged unless reward.allow_unjudged is
// set. kUnavailable when no service answers, or when a stop was requested.
void CheckTasks(std::span<const Prompt> tasks, const RewardConfig& config, GroupScorer* scorer,
                const TaskCheckOptions& options);

// How messages name the questions of an evaluation.
std::string EvalSetting(const Config& config);

// Checks the training tasks and the questions of the evaluation (none: empty) of a run.
ProgramJudging CheckTasksOfRun(const Config& config, const PromptSet& prompts,
                               std::span<const Prompt> questions, RewardStage* reward,
                               std::function<void(const std::string&)> print = {},
                               std::stop_token stop = {});

}  // namespace grouper
