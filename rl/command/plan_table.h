// Writes the plan of a run as a table for people and as JSON for programs.
#pragma once

#include <string>

#include "rl/run/run_plan.h"

namespace grouper {

class PromptSet;

// Measures the prompts: all rows of a file, or of an endless generator those that the run will use,
// but at most 4,096.
RunFacts FactsOf(const Config& config, const PromptSet& prompts, int threads);

// Several lines; no line feed follows the last one. machine_bytes is 0 when it is not known.
std::string PlanText(const Config& config, const RunFacts& facts, int64_t machine_bytes);

// One JSON object with the schedule, the memory and the resolved config as textproto.
std::string PlanJson(const Config& config, const RunFacts& facts, int64_t machine_bytes);

}  // namespace grouper
