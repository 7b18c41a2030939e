#include "kernels/moe/dispatch_plan.h"

#include "kernels/dispatch.h"

namespace grouper {
namespace {

void CheckEveryTokenHasExperts(const Tensor& chosen, int64_t experts) {
  const int64_t k = chosen.dim(1);
  for (int64_t i = 0; i < chosen.elements(); ++i) {
    const int32_t id = chosen.as<int32_t>()[i];
    CHECK(id >= 0 && id < experts,
          "[dispatch_plan] a token has no expert: its router scores are not finite",
          Named("token", i / k), Named("expert", id));
  }
}

}  // namespace

void DispatchPlan(Stream& stream, const DispatchPlanArgs& args) {
  const int64_t tokens = args.experts.dim(0), k = args.experts.dim(1);
  const int64_t experts = args.offsets.dim(0) - 1;
  CheckMatrix("[dispatch_plan] experts", args.experts, DType::kInt32, tokens, k);
  CheckVector("[dispatch_plan] offsets", args.offsets, DType::kInt32, experts + 1);
  CheckVector("[dispatch_plan] row_token", args.row_token, DType::kInt32, tokens * k);
  CheckMatrix("[dispatch_plan] slot_row", args.slot_row, DType::kInt32, tokens, k);
  GROUPER_DISPATCH(DispatchPlan, stream, args, DType::kFloat32,
                   CheckEveryTokenHasExperts(args.experts, experts));
}

}  // namespace grouper
