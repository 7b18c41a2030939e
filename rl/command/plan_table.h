// The plan of a run as people and as tools read it.
#pragma once

#include <string>

#include "rl/run/run_plan.h"

namespace grouper {

class PromptSet;

// Reads every prompt of a file once; of endless generators those of the run, 4,096 at most.
RunFacts FactsOf(const Config& config, const PromptSet& prompts, int threads);

// Lines, the last one without its line feed. machine_bytes 0: unknown.
std::string PlanText(const Config& config, const RunFacts& facts, int64_t machine_bytes);

// One JSON object: schedule, memory, config (the resolved one as textproto).
std::string PlanJson(const Config& config, const RunFacts& facts, int64_t machine_bytes);

}  // namespace grouper
