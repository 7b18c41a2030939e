#include "kernels/moe/router_topk.h"

#include "kernels/cpu/check_values.h"
#include "kernels/dispatch.h"

namespace grouper {
namespace {

void CheckRule(const RouterRule& rule, int64_t experts, int64_t k) {
  CHECK(experts >= 1 && experts <= kMaxExperts, "[router_topk] experts must be from 1 to the limit",
        Named("experts", experts), Named("limit", kMaxExperts));
  CHECK(rule.groups >= 1 && experts % rule.groups == 0 && rule.top_groups >= 1 &&
            rule.top_groups <= rule.groups && k >= 1 &&
            k <= rule.top_groups * (experts / rule.groups),
        "[router_topk] groups, top_groups and k do not fit the experts",
        Named("groups", rule.groups), Named("top_groups", rule.top_groups), Named("k", k),
        Named("experts", experts));
}

}  // namespace

void RouterTopk(Stream& stream, const RouterTopkArgs& args) {
  CheckReal("[router_topk] logits", args.logits);
  const DType dtype = args.logits.dtype;
  const int64_t tokens = args.logits.dim(0), experts = args.logits.dim(1), k = args.experts.dim(1);
  CheckRule(args.rule, experts, k);
  if (!args.bias.empty()) CheckVector("[router_topk] bias", args.bias, dtype, experts);
  CheckMatrix("[router_topk] scores", args.scores, dtype, tokens, experts);
  CheckMatrix("[router_topk] experts", args.experts, DType::kInt32, tokens, k);
  CheckMatrix("[router_topk] weights", args.weights, dtype, tokens, k);
  if (args.given.empty()) {
    GROUPER_DISPATCH(RouterTopk, stream, args, dtype);
    return;
  }
  CheckMatrix("[router_topk] given", args.given, DType::kInt32, tokens, k);
  GROUPER_DISPATCH(RouterTopk, stream, args, dtype,
                   cpu::CheckDistinctIds("[router_topk] given experts", args.given, experts));
}

void RouterTopkBackward(Stream& stream, const RouterTopkBackwardArgs& args) {
  CheckReal("[router_topk_backward] scores", args.scores);
  const DType dtype = args.scores.dtype;
  const int64_t tokens = args.scores.dim(0), experts = args.scores.dim(1), k = args.experts.dim(1);
  CheckRule(args.rule, experts, k);
  CheckMatrix("[router_topk_backward] experts", args.experts, DType::kInt32, tokens, k);
  CheckMatrix("[router_topk_backward] weights", args.weights, dtype, tokens, k);
  CheckMatrix("[router_topk_backward] dweights", args.dweights, dtype, tokens, k);
  CheckMatrix("[router_topk_backward] dlogits", args.dlogits, dtype, tokens, experts);
  GROUPER_DISPATCH(RouterTopkBackward, stream, args, dtype);
}

}  // namespace grouper
