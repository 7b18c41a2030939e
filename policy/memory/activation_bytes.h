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
  bool keep = false;              // a backward follows
  int64_t attention_scratch = 0;  // elements (kernels/attention/attention.h)
};

struct ActivationBytes {
  int64_t total = 0;   // high-water mark of the arena
  int64_t logits = 0;  // of the head's input and output, within total
};

// The most scratch memory, in elements, that attention takes for any number of tokens up to
// `tokens` whose sequences have up to `longest` positions.
int64_t MostAttentionScratch(const PolicyConfig& config, int64_t threads, int64_t tokens,
                             int64_t longest);

ActivationBytes ActivationBytesOf(const PolicyConfig& config, DType dtype, const PassShape& shape);

}  // namespace grouper
