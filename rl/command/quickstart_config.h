// The configs of the quickstart's three stages: base training, a supervised cold start, and GRPO on
// the tasks calc and fit. They are examples/quickstart_{base,sft,rl}.textproto, which are built
// into the program (examples/README.md).
#pragma once

#include <string>

#include "proto/config.pb.h"

namespace grouper {

enum class QuickstartStage { kBase, kSft, kRl };
// The text of the stage's example config.
const char* QuickstartText(QuickstartStage stage);
// The stage's config with this seed. `smoke` shrinks the policy and the data, so that all stages
// together take less than 15 GFLOP.
Config QuickstartConfig(QuickstartStage stage, uint64_t seed, bool smoke);

}  // namespace grouper
