// Pins the bits of the numeric profile: digests of every operator's outputs for inputs from Philox.
// A difference here means that recorded runs can no longer be reproduced. Find what changed, or, if
// the change is intended, raise the profile in kernels/numerics.h and pin the new digests.
#include <map>

#include "base/digest.h"
#include "kernels/act/swiglu.h"
#include "kernels/attention/attention.h"
#include "kernels/embed/rope.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/router_topk.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/numerics.h"
#include "kernels/optim/adamw.h"
#include "kernels/sampling/sample_token.h"
#include "kernels/sampling/token_log_probs.h"
#include "tests/testing/packing.h"

namespace grouper {
namespace {

using testing::Dense;
using testing::Owned;

constexpr DType kF = DType::kFloat32;

// Multiples of 2^-23 in [-size, size), exact in fp32 and made without libm.
Owned Uniform(std::vector<int64_t> shape, uint64_t object, double size = 1) {
  Owned t(kF, std::move(shape));
  for (int64_t i = 0; i < t.view.elements(); ++i) {
    const uint32_t word =
        PhiloxAt(77, RandomStream::kDataOrder, object, static_cast<uint32_t>(i))[0];
    t.Put(i, size * (static_cast<double>(word >> 8) * 0x1p-23 - 1));
  }
  return t;
}

std::string DigestOf(const std::vector<Owned>& outputs) {
  Sha256 hash;
  for (const Owned& o : outputs) hash.Update(o.view.data, o.bytes());
  return hash.FinishHex().substr(0, 16);
}

using Digests = std::map<std::string, std::string>;

void RowOperators(Stream& stream, Digests* digests) {
  const Owned x = Uniform({9, 330}, 1, 2), gain = Uniform({330}, 2), dy = Uniform({9, 330}, 3);
  Owned y(kF, {9, 330}), dx(kF, {9, 330}), dgain(kF, {330}), inv(kF, {9});
  RmsNorm(stream, {.x = x, .gain = gain, .out = y});
  RmsNormBackward(stream, {.x = x, .gain = gain, .dy = dy, .dx = dx, .dgain = dgain, .inv = inv});
  (*digests)["rms_norm"] = DigestOf({y, dx, dgain});

  const Owned gate_up = Uniform({9, 70}, 4, 8), dout = Uniform({9, 35}, 5);
  Owned act(kF, {9, 35}), dgate_up(kF, {9, 70});
  Swiglu(stream, {.gate_up = gate_up, .out = act});
  SwigluBackward(stream, {.gate_up = gate_up, .dout = dout, .dgate_up = dgate_up});
  (*digests)["swiglu"] = DigestOf({act, dgate_up});

  const Owned cos = Uniform({20, 5}, 6), sin = Uniform({20, 5}, 7);
  Owned turned = Uniform({9, 30}, 8), positions(DType::kInt32, {9});
  for (int t = 0; t < 9; ++t) positions.Put(t, 2 * t);
  Rope(stream, {.x = turned, .positions = positions, .cos = cos, .sin = sin, .head_dim = 10});
  (*digests)["rope"] = DigestOf({turned});

  Owned p = Uniform({5000}, 9), m(kF, {5000}), v(kF, {5000});
  for (int64_t update = 1; update <= 2; ++update) {
    Adamw(stream, {.param = p,
                   .grad = Uniform({5000}, 9 + static_cast<uint64_t>(update)),
                   .m = m,
                   .v = v,
                   .grad_scale = 0.7,
                   .lr = 1e-2,
                   .weight_decay = 0.1,
                   .update = update});
  }
  (*digests)["adamw"] = DigestOf({p, m, v});
}

void Products(Stream& stream, Digests* digests) {
  const Owned x = Uniform({19, 50}, 20), w = testing::Pack(Uniform({1, 50, 45}, 21), 1, 50, 45),
              bias = Uniform({45}, 22), residual = Uniform({19, 45}, 23);
  Owned y(kF, {19, 45}), grad(kF, {1, PackedPanels(45), 50, 32});
  Matmul(stream, {.x = x, .weight = Dense(w), .bias = bias, .residual = residual, .out = y});
  MatmulWeightGrad(stream, {.x = x, .dy = y, .grad = Dense(grad)});
  (*digests)["matmul"] = DigestOf({y, grad});
}

void Mixture(Stream& stream, Digests* digests) {
  const RouterRule rule{RouterScore::kSigmoid, 4, 2, RouterGroupScore::kTop2Sum, true, 2.5};
  const RouterRule soft{RouterScore::kSoftmax, 1, 1, RouterGroupScore::kMax, false, 1};
  const Owned logits = Uniform({30, 24}, 30, 4), bias = Uniform({24}, 31),
              dweights = Uniform({30, 5}, 32);
  for (const RouterRule& r : {rule, soft}) {
    Owned scores(kF, {30, 24}), experts(DType::kInt32, {30, 5}), weights(kF, {30, 5}),
        dlogits(kF, {30, 24});
    RouterTopk(stream, {.logits = logits,
                        .bias = bias,
                        .scores = scores,
                        .experts = experts,
                        .weights = weights,
                        .rule = r});
    RouterTopkBackward(stream, {.scores = scores,
                                .experts = experts,
                                .weights = weights,
                                .dweights = dweights,
                                .dlogits = dlogits,
                                .rule = r});
    (*digests)[r.renormalize ? "router sigmoid" : "router softmax"] =
        DigestOf({scores, experts, weights, dlogits});
  }
  const Owned y = Uniform({90, 300}, 33), weights = Uniform({30, 3}, 34),
              shared = Uniform({30, 300}, 35), residual = Uniform({30, 300}, 36);
  Owned slot_row(DType::kInt32, {30, 3}), out(kF, {30, 300}), dy(kF, {90, 300}), dw(kF, {30, 3});
  for (int i = 0; i < 90; ++i) slot_row.Put(i, 89 - i);
  Combine(stream, {.y = y,
                   .slot_row = slot_row,
                   .weights = weights,
                   .shared = shared,
                   .residual = residual,
                   .out = out});
  CombineBackward(
      stream,
      {.dout = out, .y = y, .slot_row = slot_row, .weights = weights, .dy = dy, .dweights = dw});
  (*digests)["combine"] = DigestOf({out, dy, dw});
}

// One sequence over more than one split of 512.
void AttentionOf(Stream& stream, Digests* digests) {
  const int64_t n = 600, heads = 4, dim = 18;
  const Owned q = Uniform({n, heads * dim}, 40), k = Uniform({n, 2 * dim}, 41, 2),
              v = Uniform({n, 2 * dim}, 42), dout = Uniform({n, heads * dim}, 43);
  Owned sequence(DType::kInt32, {n}), positions(DType::kInt32, {n}), table(DType::kInt32, {1, 10}),
      offsets(DType::kInt32, {2}), keys(kF, {10, 2, dim, 64}), values(kF, {10, 2, 64, dim});
  Owned out(kF, {n, heads * dim}), stats(kF, {n, heads, 2}), dq(kF, {n, heads * dim}),
      dk(kF, {n, 2 * dim}), dv(kF, {n, 2 * dim});
  for (int64_t t = 0; t < n; ++t) positions.Put(t, static_cast<double>(t));
  for (int64_t b = 0; b < 10; ++b) table.Put(b, static_cast<double>(9 - b));
  offsets.Put(1, static_cast<double>(n));
  AppendKv(stream, {.k = k,
                    .v = v,
                    .sequence = sequence,
                    .positions = positions,
                    .block_table = table,
                    .k_cache = keys,
                    .v_cache = values});
  Attention(stream, {.q = q,
                     .sequence = sequence,
                     .positions = positions,
                     .block_table = table,
                     .k_cache = keys,
                     .v_cache = values,
                     .out = out,
                     .max_and_sum = stats,
                     .heads = heads,
                     .scale = 0.25});
  AttentionBackward(stream, {.q = q,
                             .out = out,
                             .dout = dout,
                             .max_and_sum = stats,
                             .sequence_offsets = offsets,
                             .block_table = table,
                             .k_cache = keys,
                             .v_cache = values,
                             .dq = dq,
                             .dk = dk,
                             .dv = dv,
                             .heads = heads,
                             .scale = 0.25});
  (*digests)["attention"] = DigestOf({out, stats});
  (*digests)["attention backward"] = DigestOf({dq, dk, dv});
}

void Sampling(Stream& stream, Digests* digests) {
  const int64_t rows = 60, vocab = 700;
  const Owned logits = Uniform({rows, vocab}, 50, 6), up = Uniform({rows}, 51),
              down = Uniform({rows}, 52);
  Owned ids(DType::kUint64, {rows}), positions(DType::kInt32, {rows});
  for (int r = 0; r < rows; ++r) {
    ids.Put(r, 3 * r);
    positions.Put(r, r);
  }
  for (const SamplingRule& rule :
       {SamplingRule{},
        SamplingRule{.temperature = 0.75, .top_k = 50, .top_p = 0.875, .min_p = 0.0625}}) {
    Owned tokens(DType::kInt32, {rows}), log_probs(kF, {rows}), entropies(kF, {rows}),
        dlogits(kF, {rows, vocab});
    SampleTokenArgs args;
    args.logits = logits;
    args.rollout_ids = ids;
    args.positions = positions;
    args.seed = 11;
    args.rule = rule;
    args.tokens = tokens;
    args.log_probs = log_probs;
    args.entropies = entropies;
    SampleToken(stream, args);
    TokenLogProbsBackward(stream, {.logits = logits,
                                   .targets = tokens,
                                   .rule = rule,
                                   .dlog_probs = up,
                                   .dentropies = down,
                                   .dlogits = dlogits});
    (*digests)[rule.filtered() ? "sampling with filters" : "sampling"] =
        DigestOf({tokens, log_probs, entropies, dlogits});
  }
}

TEST(NumericProfile, IsWhatItsNameStandsFor) {
  EXPECT_STREQ(numerics::kCpuProfile, "cpu-fp32-2") << "pin the digests of the new profile";
  const Digests pinned = {
      {"adamw", "79274aa23ff4e9c3"},
      {"attention", "7ce63c4f33b7e442"},
      {"attention backward", "d1bb8bb593dcbc03"},
      {"combine", "b2f87142da3fb84d"},
      {"matmul", "69b0914506fe51fb"},
      {"rms_norm", "ae766611951e65ed"},
      {"rope", "5dd12ae53412ff8f"},
      {"router sigmoid", "6eedc4befa8a58a6"},
      {"router softmax", "d8fa1800b53b899c"},
      {"sampling", "65dd037ba7e2ba03"},
      {"sampling with filters", "07bed9d25c5666de"},
      {"swiglu", "4b8d69efca5eab07"},
  };
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(2);
    Stream stream{isa, &pool};
    Digests digests;
    RowOperators(stream, &digests);
    Products(stream, &digests);
    Mixture(stream, &digests);
    AttentionOf(stream, &digests);
    Sampling(stream, &digests);
    EXPECT_EQ(digests, pinned) << cpu::NameOf(isa);
  }
}

}  // namespace
}  // namespace grouper
