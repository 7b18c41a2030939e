// The quickstart (examples/README.md): base stage, cold-start SFT, GRPO on calc and fit, with held-out
// pass@1 before and after. The three configs are examples/quickstart_{base,sft,rl}.textproto, built
// into the program.
#pragma once

#include <string>

#include "proto/config.pb.h"

namespace grouper {

enum class QuickstartStage { kBase, kSft, kRl };
// Text of the stage's example config.
const char* QuickstartText(QuickstartStage stage);
// The stage's config under a seed; smoke shrinks policy and data to less than 15 GFLOP in all.
Config QuickstartConfig(QuickstartStage stage, uint64_t seed, bool smoke);

}  // namespace grouper
