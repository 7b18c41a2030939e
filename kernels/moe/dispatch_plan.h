// Row lists per expert from the chosen experts: rows of one expert in token order, experts by id.
// The compact row r of expert e belongs to token row_token[r]; slot_row tells where slot k of a
// token lies.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct DispatchPlanArgs {
  Tensor experts;    // [tokens, k] int32
  Tensor offsets;    // [experts + 1] int32 out
  Tensor row_token;  // [tokens * k] int32 out
  Tensor slot_row;   // [tokens, k] int32 out
};
// Plain integers, the same on every instruction set; kInternal when an id is out of range.
void DispatchPlan(Stream& stream, const DispatchPlanArgs& args);

}  // namespace grouper
