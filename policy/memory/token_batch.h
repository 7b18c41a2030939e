// The input of one forward pass: which tokens, at which positions of their sequences, and for which
// of them logits are wanted.
#pragma once

#include <vector>

#include "kernels/tensor.h"

namespace grouper {

// Packed tokens of several sequences, no padding. All tensors int32.
struct TokenBatch {
  Tensor ids;          // [tokens]
  Tensor positions;    // [tokens] absolute
  Tensor sequence;     // [tokens] row of block_table
  Tensor block_table;  // [sequences, max_blocks] blocks of the cache
  Tensor logit_rows;   // [rows] tokens whose next-token logits are wanted, ascending
  // [tokens, k] for each MoE layer in order: the experts to use. When empty, the router chooses.
  std::vector<Tensor> given_experts;
};

}  // namespace grouper
