// Rows of a table, chosen by token id.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct EmbeddingArgs {
  Tensor ids;    // [tokens] int32, 0 <= id < vocab
  Tensor table;  // [vocab, width]
  Tensor out;    // [tokens, width]
};
GROUPER_OP(Embedding)

// dtable[id] += dout of its tokens, in token order; threads split the columns.
struct EmbeddingBackwardArgs {
  Tensor ids;     // [tokens] int32
  Tensor dout;    // [tokens, width]
  Tensor dtable;  // [vocab, width] in and out
};
GROUPER_OP(EmbeddingBackward)

}  // namespace grouper
