#include "kernels/act/swiglu.h"
#include "kernels/gemm/matmul.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/dispatch_plan.h"
#include "kernels/moe/router_topk.h"
#include "kernels/norm/rms_norm.h"
#include "policy/layers/blocks.h"

namespace grouper {
namespace {

RouterRule RuleOf(const MoeConfig& moe) {
  return {
      .score = moe.score() == MoeConfig::SIGMOID ? RouterScore::kSigmoid : RouterScore::kSoftmax,
      .groups = moe.groups(),
      .top_groups = moe.top_groups(),
      .group_score =
          moe.group_score() == MoeConfig::MAX ? RouterGroupScore::kMax : RouterGroupScore::kTop2Sum,
      .renormalize = moe.renormalize(),
      .scale = moe.scale()};
}

// y = down(swiglu(gate_up(x))) (+ residual): a dense layer or the shared expert.
void MlpForward(const BlockContext& c, const Tensor& x, const Tensor& gate_up_weight,
                const Tensor& down_weight, int64_t width, const Tensor& residual, Tensor* gate_up,
                Tensor* act, const Tensor& out) {
  *gate_up = c.arena.Matrix("gate_up", c.dtype, c.tokens, 2 * width);
  *act = c.arena.Matrix("act", c.dtype, c.tokens, width);
  Matmul(c.stream, {.x = x, .weight = gate_up_weight, .bias = {}, .residual = {}, .out = *gate_up});
  Swiglu(c.stream, {.gate_up = *gate_up, .out = *act});
  Matmul(c.stream,
         {.x = *act, .weight = down_weight, .bias = {}, .residual = residual, .out = out});
}

struct MlpTensors {
  Tensor gate_up, down;
};

// dx (+ residual) of an MLP whose output gradient is dy; continues both weight gradients.
void MlpBackward(const BlockContext& c, const Tensor& x, const Tensor& gate_up, const Tensor& act,
                 const Tensor& dy, const MlpTensors& transposed, const MlpTensors& grads,
                 const Tensor& residual, const Tensor& dx) {
  const Tensor dact = c.arena.Matrix("backward", c.dtype, c.tokens, act.shape[1]);
  const Tensor dgate_up = c.arena.Matrix("backward", c.dtype, c.tokens, gate_up.shape[1]);
  MatmulWeightGrad(c.stream, {.x = act, .dy = dy, .grad = grads.down});
  Matmul(c.stream, {.x = dy, .weight = transposed.down, .bias = {}, .residual = {}, .out = dact});
  SwigluBackward(c.stream, {.gate_up = gate_up, .dout = dact, .dgate_up = dgate_up});
  MatmulWeightGrad(c.stream, {.x = x, .dy = dgate_up, .grad = grads.gate_up});
  Matmul(
      c.stream,
      {.x = dgate_up, .weight = transposed.gate_up, .bias = {}, .residual = residual, .out = dx});
}

void MoeForward(const BlockContext& c, const LayerTensors& w, const Tensor& router_bias,
                const Tensor& given_experts, LayerActivations* a, const Tensor& out) {
  const MoeConfig& moe = c.config.moe();
  const int64_t k = moe.experts_per_token(), rows = c.tokens * k, d = c.config.width();
  a->scores = c.arena.Matrix("scores", c.dtype, c.tokens, moe.experts());
  a->weights = c.arena.Matrix("expert_weights", c.dtype, c.tokens, k);
  a->offsets = c.arena.Vector("offsets", DType::kInt32, moe.experts() + 1);
  a->row_token = c.arena.Vector("row_token", DType::kInt32, rows);
  a->slot_row = c.arena.Matrix("slot_row", DType::kInt32, c.tokens, k);
  a->expert_gate_up = c.arena.Matrix("expert_gate_up", c.dtype, rows, 2 * moe.width());
  a->expert_act = c.arena.Matrix("expert_act", c.dtype, rows, moe.width());
  a->expert_out = c.arena.Matrix("expert_out", c.dtype, rows, d);

  // The scores overwrite the logits.
  Matmul(c.stream,
         {.x = a->post_normed, .weight = w.router, .bias = {}, .residual = {}, .out = a->scores});
  RouterTopk(c.stream, {.logits = a->scores,
                        .bias = router_bias,
                        .scores = a->scores,
                        .experts = a->experts,
                        .weights = a->weights,
                        .rule = RuleOf(moe),
                        .given = given_experts});
  DispatchPlan(c.stream, {.experts = a->experts,
                          .offsets = a->offsets,
                          .row_token = a->row_token,
                          .slot_row = a->slot_row});
  GroupedMatmul(c.stream, {.x = a->post_normed,
                           .row_index = a->row_token,
                           .offsets = a->offsets,
                           .weight = w.expert_gate_up,
                           .out = a->expert_gate_up});
  Swiglu(c.stream, {.gate_up = a->expert_gate_up, .out = a->expert_act});
  GroupedMatmul(c.stream, {.x = a->expert_act,
                           .row_index = {},
                           .offsets = a->offsets,
                           .weight = w.expert_down,
                           .out = a->expert_out});
  Tensor shared;
  if (moe.shared_width() > 0) {
    shared = c.arena.Matrix("shared", c.dtype, c.tokens, d);
    MlpForward(c, a->post_normed, w.shared_gate_up, w.shared_down, moe.shared_width(), {},
               &a->shared_gate_up, &a->shared_act, shared);
  }
  Combine(c.stream, {.y = a->expert_out,
                     .slot_row = a->slot_row,
                     .weights = a->weights,
                     .shared = shared,
                     .residual = a->middle,
                     .out = out});
}

// d(normed input) of the mixture; dx is the gradient of the layer's output.
Tensor MoeBackward(const BlockContext& c, const LayerTensors& transposed, const LayerActivations& a,
                   const LayerTensors& grads, const Tensor& dx) {
  const MoeConfig& moe = c.config.moe();
  const int64_t k = moe.experts_per_token(), rows = c.tokens * k, d = c.config.width();
  const Tensor dnormed = c.arena.Matrix("backward", c.dtype, c.tokens, d);
  const Tensor dweights = c.arena.Matrix("backward", c.dtype, c.tokens, k);
  const Tensor dlogits = c.arena.Matrix("backward", c.dtype, c.tokens, moe.experts());
  const Tensor dy = c.arena.Matrix("backward", c.dtype, rows, d);
  const Tensor dact = c.arena.Matrix("backward", c.dtype, rows, moe.width());
  const Tensor dgate_up = c.arena.Matrix("backward", c.dtype, rows, 2 * moe.width());

  CombineBackward(c.stream, {.dout = dx,
                             .y = a.expert_out,
                             .slot_row = a.slot_row,
                             .weights = a.weights,
                             .dy = dy,
                             .dweights = dweights});
  GroupedMatmulWeightGrad(c.stream, {.x = a.expert_act,
                                     .row_index = {},
                                     .offsets = a.offsets,
                                     .dy = dy,
                                     .grad = grads.expert_down});
  GroupedMatmul(c.stream, {.x = dy,
                           .row_index = {},
                           .offsets = a.offsets,
                           .weight = transposed.expert_down,
                           .out = dact});
  SwigluBackward(c.stream, {.gate_up = a.expert_gate_up, .dout = dact, .dgate_up = dgate_up});
  GroupedMatmulWeightGrad(c.stream, {.x = a.post_normed,
                                     .row_index = a.row_token,
                                     .offsets = a.offsets,
                                     .dy = dgate_up,
                                     .grad = grads.expert_gate_up});
  const Tensor dx_rows = dy;  // dy is no longer needed; the rows' input gradients overwrite it
  GroupedMatmul(c.stream, {.x = dgate_up,
                           .row_index = {},
                           .offsets = a.offsets,
                           .weight = transposed.expert_gate_up,
                           .out = dx_rows});

  RouterTopkBackward(c.stream, {.scores = a.scores,
                                .experts = a.experts,
                                .weights = a.weights,
                                .dweights = dweights,
                                .dlogits = dlogits,
                                .rule = RuleOf(moe)});
  MatmulWeightGrad(c.stream, {.x = a.post_normed, .dy = dlogits, .grad = grads.router});
  Matmul(c.stream,
         {.x = dlogits, .weight = transposed.router, .bias = {}, .residual = {}, .out = dnormed});
  if (moe.shared_width() > 0) {
    MlpBackward(c, a.post_normed, a.shared_gate_up, a.shared_act, dx,
                {transposed.shared_gate_up, transposed.shared_down},
                {grads.shared_gate_up, grads.shared_down}, dnormed, dnormed);
  }
  Combine(c.stream, {.y = dx_rows,
                     .slot_row = a.slot_row,
                     .weights = {},
                     .shared = {},
                     .residual = dnormed,
                     .out = dnormed});
  return dnormed;
}

}  // namespace

void FeedForwardBlockForward(const BlockContext& c, const LayerTensors& w,
                             const Tensor& router_bias, const Tensor& given_experts,
                             LayerActivations* a, const Tensor& out) {
  a->post_normed = c.arena.Matrix("post_normed", c.dtype, c.tokens, c.config.width());
  RmsNorm(
      c.stream,
      {.x = a->middle, .gain = w.post_norm, .out = a->post_normed, .eps = c.config.rms_norm_eps()});
  if (!w.router.empty()) {
    MoeForward(c, w, router_bias, given_experts, a, out);
  } else {
    MlpForward(c, a->post_normed, w.dense_gate_up, w.dense_down, c.config.dense_width(), a->middle,
               &a->dense_gate_up, &a->dense_act, out);
  }
}

void FeedForwardBlockBackward(const BlockContext& c, const LayerTensors& w,
                              const LayerTensors& transposed, const LayerActivations& a,
                              const LayerTensors& grads, const Tensor& dx) {
  const Arena::Mark mark = c.arena.mark();
  Tensor dnormed;
  if (!w.router.empty()) {
    dnormed = MoeBackward(c, transposed, a, grads, dx);
  } else {
    dnormed = c.arena.Matrix("backward", c.dtype, c.tokens, c.config.width());
    MlpBackward(c, a.post_normed, a.dense_gate_up, a.dense_act, dx,
                {transposed.dense_gate_up, transposed.dense_down},
                {grads.dense_gate_up, grads.dense_down}, {}, dnormed);
  }
  const Tensor inv = c.arena.Vector("backward", c.dtype, c.tokens);
  RmsNormBackward(c.stream, {.x = a.middle,
                             .gain = w.post_norm,
                             .dy = dnormed,
                             .dx = dx,
                             .dgain = grads.post_norm,
                             .inv = inv,
                             .eps = c.config.rms_norm_eps()});
  c.arena.ReturnTo(mark);
}

}  // namespace grouper
