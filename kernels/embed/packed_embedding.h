// Rows of an embedding that is also the head (tied). The parameter is the head's packed form [width
// -> vocab]; in its transposed packing a token's row lies in pieces of 32 numbers. The gradient
// goes into the head's packed gradient, so that both uses of the parameter make one chain
// (policy/layers/tied_gradient.h).
#pragma once

#include "kernels/op.h"

namespace grouper {

// out[t] = row ids[t]. An id outside the table is an internal error.
struct PackedEmbeddingArgs {
  Tensor ids;    // [tokens] int32
  Tensor table;  // [ceil(width / 32), vocab, 32]
  Tensor out;    // [tokens, width]
};
GROUPER_OP(PackedEmbedding)

// dtable column ids[t] - first_id += dout[t], t ascending; ids outside [first_id, first_id + 32 *
// panels) are skipped, so that a part of the vocabulary can be worked on alone.
struct PackedEmbeddingBackwardArgs {
  Tensor ids;     // [tokens] int32
  Tensor dout;    // [tokens, width]
  Tensor dtable;  // [panels, width, 32] in and out
  int64_t first_id = 0;
};
GROUPER_OP(PackedEmbeddingBackward)

}  // namespace grouper
