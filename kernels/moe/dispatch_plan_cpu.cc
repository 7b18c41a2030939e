#include "kernels/cpu/lanes.h"
#include "kernels/moe/dispatch_plan.h"

namespace grouper::cpu::GROUPER_VARIANT {

void DispatchPlan(Stream&, const DispatchPlanArgs& args) {
  const int64_t tokens = args.experts.shape[0], k = args.experts.shape[1];
  const int64_t experts = args.offsets.shape[0] - 1;
  const int32_t* chosen = args.experts.as<int32_t>();
  int32_t* offsets = args.offsets.as<int32_t>();
  for (int64_t e = 0; e <= experts; ++e) offsets[e] = 0;
  for (int64_t i = 0; i < tokens * k; ++i) ++offsets[chosen[i] + 1];
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

}  // namespace grouper::cpu::GROUPER_VARIANT
