// Finds the first value of a repeated step that differs from the run's record in a bit, and says
// where it is. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "proto/trace.pb.h"

namespace grouper {

struct StepDifference {
  int64_t step = 0;
  std::string place;  // "rollout 37 position 12", "prompt 4", "tensor lm_head.weight element 3"
  std::string field;  // its name in trace.proto, such as "rollout_log_probs"
  std::string recorded, made;  // a number is shown as its bits in hexadecimal, then as a value
  std::optional<uint64_t> rollout_id;
  std::optional<int64_t> position;  // in the sequence, prompt included, as in a mismatch
  std::optional<std::string> tensor;
};

// Compares everything but the verdicts, in this order: prompts, the weights' digest, then token by
// token ids, log-probs, entropies, sizes of kept sets and experts, then text and advantages.
// experts_per_token is the number of slots of a MoE layer.
std::optional<StepDifference> FirstDifference(std::span<const Group> recorded,
                                              std::span<const Group> made,
                                              int64_t experts_per_token);

// "0x3f800000 (1)"
std::string BitsText(float x);
std::string BitsText(double x);
std::string BitsText(uint64_t x);

}  // namespace grouper
