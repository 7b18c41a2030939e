#include "kernels/moe/dispatch_plan.h"

#include "kernels/dispatch.h"

namespace grouper {

void DispatchPlan(Stream&, const DispatchPlanArgs& args) {
  const OpTimer timer("DispatchPlan");
  const int64_t tokens = args.experts.dim(0), k = args.experts.dim(1);
  const int64_t experts = args.offsets.dim(0) - 1;
  CheckMatrix("[dispatch_plan] experts", args.experts, DType::kInt32, tokens, k);
  CheckVector("[dispatch_plan] offsets", args.offsets, DType::kInt32, experts + 1);
  CheckVector("[dispatch_plan] row_token", args.row_token, DType::kInt32, tokens * k);
  CheckMatrix("[dispatch_plan] slot_row", args.slot_row, DType::kInt32, tokens, k);
  const int32_t* chosen = args.experts.as<int32_t>();
  int32_t* offsets = args.offsets.as<int32_t>();
  for (int64_t e = 0; e <= experts; ++e) offsets[e] = 0;
  for (int64_t i = 0; i < tokens * k; ++i) {
    CHECK(chosen[i] >= 0 && chosen[i] < experts,
          "[dispatch_plan] a token has no expert: its router scores are not finite",
          Named("token", i / k), Named("expert", chosen[i]));
    ++offsets[chosen[i] + 1];
  }
  for (int64_t e = 0; e < experts; ++e) offsets[e + 1] += offsets[e];
  // While rows are listed, offsets[e] is the next free row of expert e; afterwards all offsets move
  // back by one place.
  for (int64_t i = 0; i < tokens * k; ++i) {
    const int32_t row = offsets[chosen[i]]++;
    args.row_token.as<int32_t>()[row] = static_cast<int32_t>(i / k);
    args.slot_row.as<int32_t>()[i] = row;
  }
  for (int64_t e = experts; e > 0; --e) offsets[e] = offsets[e - 1];
  offsets[0] = 0;
}

}  // namespace grouper
