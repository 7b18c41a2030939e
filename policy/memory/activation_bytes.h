// The memory of a forward and backward pass, known before anything is allocated: it adds up the
// pieces that the blocks take from their arena. Policy::Forward reserves it in one chunk, and the
// plan of a run (rl/run/run_plan) uses it. Pure, any thread.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"
#include "policy/policy_config.h"

namespace grouper {

struct PassShape {
  int64_t tokens = 0;
  int64_t logit_rows = 0;
  bool keep = false;  // a backward follows
};

struct ActivationBytes {
  int64_t total = 0;   // high-water mark of the arena
  int64_t logits = 0;  // of the head's input and output, within total
};

ActivationBytes ActivationBytesOf(const PolicyConfig& config, DType dtype, const PassShape& shape);

}  // namespace grouper
