#include "kernels/moe/router_topk.h"

#include <bitset>

#include "kernels/dispatch.h"

namespace grouper {
namespace {

void CheckRule(const RouterRule& rule, int64_t experts, int64_t k) {
  CHECK(experts >= 1 && experts <= kMaxExperts, "[router_topk] experts must be from 1 to 256",
        Named("experts", experts));
  CHECK(rule.groups >= 1 && experts % rule.groups == 0 && rule.top_groups >= 1 &&
            rule.top_groups <= rule.groups && k >= 1 &&
            k <= rule.top_groups * (experts / rule.groups),
        "[router_topk] groups, top_groups and k do not fit the experts",
        Named("groups", rule.groups), Named("top_groups", rule.top_groups), Named("k", k),
        Named("experts", experts));
}

void CheckGiven(const Tensor& given, int64_t tokens, int64_t k, int64_t experts) {
  CheckMatrix("[router_topk] given", given, DType::kInt32, tokens, k);
  for (int64_t t = 0; t < tokens; ++t) {
    const int32_t* ids = given.as<int32_t>() + t * given.row_stride;
    std::bitset<kMaxExperts> seen;
    for (int64_t slot = 0; slot < k; ++slot) {
      CHECK(ids[slot] >= 0 && ids[slot] < experts, "[router_topk] a given expert does not exist",
            Named("token", t), Named("slot", slot), Named("expert", ids[slot]),
            Named("experts", experts));
      const size_t id = static_cast<size_t>(ids[slot]);
      CHECK(!seen[id], "[router_topk] an expert is given twice for one token", Named("token", t),
            Named("slot", slot), Named("expert", ids[slot]));
      seen[id] = true;
    }
  }
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
  if (!args.given.empty()) CheckGiven(args.given, tokens, k, experts);
  GROUPER_DISPATCH(RouterTopk, stream, args, dtype);
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
