// The results of one forward pass. The learner keeps every layer for its backward pass; rollout
// keeps only the chosen experts and reuses one layer's memory. All tensors lie in `arena`.
#pragma once

#include <vector>

#include "kernels/memory.h"

namespace grouper {

struct LayerActivations {
  Tensor x;             // [tokens, width] input of the layer
  Tensor input_normed;  // [tokens, width]
  Tensor qkv;           // [tokens, q | k | v], q and k rotated
  Tensor attended;      // [tokens, heads * head_dim]
  Tensor max_and_sum;   // [tokens, heads, 2]
  Tensor middle;        // [tokens, width] after the attention residual
  Tensor post_normed;   // [tokens, width]
  // dense
  Tensor dense_gate_up, dense_act;
  // moe
  Tensor scores;                      // [tokens, experts]
  Tensor experts;                     // [tokens, k] int32
  Tensor weights;                     // [tokens, k]
  Tensor offsets;                     // [experts + 1] int32
  Tensor row_token;                   // [tokens * k] int32
  Tensor slot_row;                    // [tokens, k] int32
  Tensor shared_gate_up, shared_act;  // [tokens, ...]
  Tensor expert_gate_up, expert_act;  // [tokens * k, ...]
  Tensor expert_out;                  // [tokens * k, width]
};

struct Activations {
  explicit Activations(std::string name) : arena(std::move(name)) {}
  Arena arena;
  bool keep = false;  // for a backward
  std::vector<LayerActivations> layers;
  Tensor final_x;       // [tokens, width] output of the last layer
  Tensor logit_x;       // [logit rows, width] its rows that get logits
  Tensor logit_normed;  // [logit rows, width]
  Tensor logits;        // [logit rows, vocab]
};

}  // namespace grouper
