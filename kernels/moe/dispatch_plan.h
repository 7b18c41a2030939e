// Lists the rows that each expert works on. The lists of all experts make one array of tokens * k
// rows: experts by id, the rows of one expert in token order. Row r of expert e, offsets[e] <= r <
// offsets[e + 1], belongs to token row_token[r]; slot k of token t has row slot_row[t][k].
#pragma once

#include "kernels/op.h"

namespace grouper {

struct DispatchPlanArgs {
  Tensor experts;    // [tokens, k] int32
  Tensor offsets;    // [experts + 1] int32 out
  Tensor row_token;  // [tokens * k] int32 out
  Tensor slot_row;   // [tokens, k] int32 out
};
// kInternal if an id is out of range: a token whose router scores are NaN has the expert -1.
GROUPER_OP(DispatchPlan)

}  // namespace grouper
