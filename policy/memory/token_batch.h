// The input of one forward pass: which tokens, at which positions of their sequences, and for which
// of them logits are wanted. And what a backward pass must know of the sequences in addition.
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
  // [copies] each, or empty: a sequence that continues the last, partly filled block of a shared
  // prefix has a copy of it. In each layer, once keys and values are written, the first
  // copy_counts[i] positions of block copy_from[i] go to block copy_to[i].
  Tensor copy_from, copy_to, copy_counts;
};

// How the rows of a batch form sequences (kernels/attention/attention.h, AttentionBackwardArgs).
// All tensors int32.
struct SequenceRows {
  Tensor offsets;          // [sequences + 1]
  Tensor first_positions;  // [sequences], or empty: all 0
  Tensor prefixes;         // [sequences], or empty: no prefix is shared
  // For each layer [prefix rows, k | v]: the gradient of the keys and values of shared prefixes, in
  // and out. Empty if no prefix is shared.
  std::vector<Tensor> prefix_gradients;
};

}  // namespace grouper
