// What a run will do and how much memory it will need, before it starts (grouper train --dry-run):
// its schedule in steps and updates, and its memory part by part. These are pure functions of the
// resolved config and of facts about its data; nothing is allocated. Lengths that sampling decides
// are planned at their caps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace grouper {

// Facts that the config alone does not give.
struct RunFacts {
  int64_t rows = 0;             // prompts of data.train; 0: generated without end
  int64_t shortest_prompt = 1;  // tokens
  int64_t longest_prompt = 1;
  int64_t eval_questions = 0;
  int64_t longest_eval_prompt = 1;
  int threads = 1;
};

struct SchedulePlan {
  int64_t steps = 0;
  int64_t updates = 0;  // steps x batch.minibatches
  int64_t minibatches = 0;
  int64_t outputs_per_step = 0;
  int64_t outputs_per_update = 0;
  struct Rate {
    std::string mark;  // first, warm-up done, middle, last
    int64_t update = 0;
    double lr = 0;
  };
  std::vector<Rate> rates;
  struct Cap {
    int64_t from_step = 0;
    int64_t from_update = 0;  // the updates done when that step begins
    int64_t max_new_tokens = 0;
  };
  std::vector<Cap> caps;  // only caps under which a step is sampled
  bool reference = false;
  int64_t reference_refreshes = 0;
  int64_t evaluations = 0;  // including the one after the last step
  int64_t answers_per_evaluation = 0;
  int64_t checkpoints = 0;       // including the last one
  int64_t most_new_tokens = 0;   // sampled in a step
  int64_t most_step_tokens = 0;  // prompts included, counted once per output
  int64_t questions = 0;         // drawn by the run
  int64_t most_questions = 0;    // with dynamic sampling; otherwise the same
};
SchedulePlan PlanSchedule(const Config& config, const RunFacts& facts);

struct MemoryRow {
  // When the memory is held: from before the first step; from the first time that such a length
  // occurs; within a step; while saving.
  enum class When { kFromStart, kOnceReached, kInStep, kWhileSaving };
  std::string name;
  int64_t bytes = 0;
  When when = When::kFromStart;
  std::string lower = {};  // the settings that make it smaller
};
struct MemoryPlan {
  std::vector<MemoryRow> rows;
  int64_t from_start = 0;
  int64_t total = 0;  // the most at any time: what stays, and the larger of step and saving
};
MemoryPlan PlanMemory(const Config& config, const RunFacts& facts);

// kUser, naming the largest parts and the settings to lower, when `bytes` of the plan are more than
// the machine has. what: "the plan" or "the policy and its caches".
void CheckFits(const MemoryPlan& plan, int64_t bytes, const std::string& what,
               int64_t machine_bytes);

}  // namespace grouper
