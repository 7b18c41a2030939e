// The gradient of a head that is also the embedding. Each element is one chain over the update's
// sequences in canonical order: for each sequence first its logit rows ascending (fma, the head's
// use), then its tokens ascending (add, the embedding's use). Micro-batches end between sequences,
// so no cut changes a bit. The vocabulary is processed in parts that fit in a core's cache.
#pragma once

#include "kernels/stream.h"
#include "kernels/tensor.h"

namespace grouper {

struct TiedGradientArgs {
  Tensor ids;               // [tokens] int32
  Tensor logit_rows;        // [rows] int32, tokens, ascending
  Tensor sequence_offsets;  // [sequences + 1] int32
  Tensor normed;            // [rows, width] input of the head
  Tensor dlogits;           // [rows, vocab]
  Tensor dx;                // [tokens, width] gradient of the embedding's rows
  Tensor grad;              // [panels, width, 32] in and out
};
void TiedGradient(Stream& stream, const TiedGradientArgs& args);

}  // namespace grouper
