#include <algorithm>

#include "bench/op_cases.h"
#include "kernels/act/swiglu.h"
#include "kernels/attention/attention.h"
#include "kernels/embed/rope.h"
#include "kernels/gemm/matmul.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/numerics.h"
#include "kernels/optim/adamw.h"
#include "kernels/sampling/sample_token.h"
#include "kernels/sampling/token_log_probs.h"

namespace grouper::bench {
namespace {

using Run = std::function<void(Stream&)>;

void AddSampleToken(const PolicyShape& p, const std::string& op, int64_t vocab, int64_t rows,
                    const SamplingRule& rule, std::vector<OpCase>* cases) {
  const double bytes = 4.0 * static_cast<double>(rows * vocab);
  cases->push_back({p.name, op, std::to_string(vocab), rows, 0, bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      SampleTokenArgs args;
                      args.rule = rule;
                      args.logits = o->Real({rows, vocab}, 6);
                      const Tensor ids = o->Ints(2 * rows);
                      args.rollout_ids = Tensor::Vector(ids.data, DType::kUint64, rows);
                      args.positions = o->Ints(rows);
                      args.tokens = o->Ints(rows);
                      args.log_probs = o->Real({rows});
                      args.entropies = o->Real({rows});
                      return Bind(o, args, &SampleToken);
                    }});
}

// The filters of a rule are measured at the vocabulary of a large model, because they are searched
// for over all of it.
constexpr int64_t kLargeVocab = 151'936;

void AddSampling(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const int64_t vocab = p.vocab;
  const double bytes = 4.0 * static_cast<double>(rows * vocab);
  const std::string shape = std::to_string(vocab);
  AddSampleToken(p, "sample_token", vocab, rows, {}, cases);
  if (&p == &PolicyShapes().back()) {
    AddSampleToken(p, "sample_token no filter", kLargeVocab, rows, {}, cases);
    AddSampleToken(p, "sample_token top_p 0.95", kLargeVocab, rows, {.top_p = 0.95}, cases);
    AddSampleToken(p, "sample_token top_k 50", kLargeVocab, rows, {.top_k = 50}, cases);
    AddSampleToken(p, "sample_token top_k, top_p, min_p", kLargeVocab, rows,
                   {.top_k = 50, .top_p = 0.95, .min_p = 0.01}, cases);
  }
  cases->push_back({p.name, "token_log_probs", shape, rows, 0, bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      TokenLogProbsArgs args;
                      args.logits = o->Real({rows, vocab}, 6);
                      args.targets = o->Ints(rows);
                      args.log_probs = o->Real({rows});
                      args.entropies = o->Real({rows});
                      return Bind(o, args, &TokenLogProbs);
                    }});
  cases->push_back({p.name, "token_log_probs_backward", shape, rows, 0, 2 * bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      TokenLogProbsBackwardArgs args;
                      args.logits = o->Real({rows, vocab}, 6);
                      args.targets = o->Ints(rows);
                      args.dlog_probs = o->Real({rows});
                      args.dlogits = o->Real({rows, vocab});
                      return Bind(o, args, &TokenLogProbsBackward);
                    }});
}

// Tokens of one attention call: `sequences` of `length` tokens, or one last token of each.
struct Tokens {
  Tensor sequence, positions, table, offsets, keys, values;
  int64_t count;
  double pairs = 0;  // visible keys, summed over tokens
};

Tokens MakeTokens(Operands* o, const PolicyShape& p, int64_t sequences, int64_t length,
                  bool last_only) {
  const int64_t columns = (length + numerics::kKeyBlock - 1) / numerics::kKeyBlock;
  const int64_t count = last_only ? sequences : sequences * length;
  Tokens t{o->Ints(count),
           o->Ints(count),
           o->Ints(sequences * columns),
           o->Ints(sequences + 1),
           o->Real({sequences * columns, p.kv_heads, p.head_dim, numerics::kKeyBlock}),
           o->Real({sequences * columns, p.kv_heads, numerics::kKeyBlock, p.head_dim}),
           count};
  t.table = Tensor::Matrix(t.table.data, DType::kInt32, sequences, columns);
  for (int64_t i = 0; i < sequences * columns; ++i) {
    t.table.as<int32_t>()[i] = static_cast<int32_t>(i);
  }
  for (int64_t i = 0; i < count; ++i) {
    t.sequence.as<int32_t>()[i] = static_cast<int32_t>(last_only ? i : i / length);
    t.positions.as<int32_t>()[i] = static_cast<int32_t>(last_only ? length - 1 : i % length);
  }
  for (int64_t s = 0; s <= sequences; ++s) {
    t.offsets.as<int32_t>()[s] = static_cast<int32_t>(s * (last_only ? 1 : length));
  }
  return t;
}

double Pairs(int64_t sequences, int64_t length, bool last_only) {
  const double n = static_cast<double>(length);
  return static_cast<double>(sequences) * (last_only ? n : n * (n + 1) / 2);
}

Run MakeAttention(const PolicyShape& p, int64_t sequences, int64_t length, bool last_only,
                  bool backward) {
  auto o = std::make_shared<Operands>();
  const Tokens t = MakeTokens(o.get(), p, sequences, length, last_only);
  const int64_t q = p.heads * p.head_dim, kv = p.kv_heads * p.head_dim;
  const AttentionArgs forward{.q = o->Real({t.count, q}),
                              .sequence = t.sequence,
                              .positions = t.positions,
                              .block_table = t.table,
                              .k_cache = t.keys,
                              .v_cache = t.values,
                              .out = o->Real({t.count, q}),
                              .max_and_sum = last_only ? Tensor() : o->Real({t.count, p.heads, 2}),
                              .heads = p.heads,
                              .scale = 0.125};
  if (!backward) return Bind(o, forward, &Attention);
  Stream stream{cpu::ChooseIsa(), nullptr};
  Attention(stream, forward);
  const AttentionBackwardArgs args{.q = forward.q,
                                   .out = forward.out,
                                   .dout = o->Real({t.count, q}),
                                   .max_and_sum = forward.max_and_sum,
                                   .sequence_offsets = t.offsets,
                                   .block_table = t.table,
                                   .k_cache = t.keys,
                                   .v_cache = t.values,
                                   .dq = o->Real({t.count, q}),
                                   .dk = o->Real({t.count, kv}),
                                   .dv = o->Real({t.count, kv}),
                                   .heads = p.heads,
                                   .scale = 0.125};
  return Bind(o, args, &AttentionBackward);
}

}  // namespace

void AddRowOps(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const int64_t width = p.width, ffn = p.ffn, rotated = (p.heads + p.kv_heads) * p.head_dim;
  const int64_t head_dim = p.head_dim;
  const double row_bytes = 4.0 * static_cast<double>(rows * width);
  cases->push_back({p.name, "rms_norm", std::to_string(width), rows, 0, 2 * row_bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      const RmsNormArgs args{.x = o->Real({rows, width}),
                                             .gain = o->Real({width}),
                                             .out = o->Real({rows, width})};
                      return Bind(o, args, &RmsNorm);
                    }});
  cases->push_back(
      {p.name, "rms_norm_backward", std::to_string(width), rows, 0, 4 * row_bytes, [=] {
         auto o = std::make_shared<Operands>();
         const RmsNormBackwardArgs args{.x = o->Real({rows, width}),
                                        .gain = o->Real({width}),
                                        .dy = o->Real({rows, width}),
                                        .dx = o->Real({rows, width}),
                                        .dgain = o->Real({width}),
                                        .inv = o->Real({rows})};
         return Bind(o, args, &RmsNormBackward);
       }});
  const double ffn_bytes = 4.0 * static_cast<double>(rows * ffn);
  cases->push_back(
      {p.name, "swiglu", std::to_string(ffn), rows, 0, 3 * ffn_bytes, [=] {
         auto o = std::make_shared<Operands>();
         const SwigluArgs args{.gate_up = o->Real({rows, 2 * ffn}, 4), .out = o->Real({rows, ffn})};
         return Bind(o, args, &Swiglu);
       }});
  cases->push_back({p.name, "swiglu_backward", std::to_string(ffn), rows, 0, 5 * ffn_bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      const SwigluBackwardArgs args{.gate_up = o->Real({rows, 2 * ffn}, 4),
                                                    .dout = o->Real({rows, ffn}),
                                                    .dgate_up = o->Real({rows, 2 * ffn})};
                      return Bind(o, args, &SwigluBackward);
                    }});
  cases->push_back({p.name, "rope", std::to_string(rotated), rows, 0,
                    8.0 * static_cast<double>(rows * rotated), [=] {
                      auto o = std::make_shared<Operands>();
                      const Tensor positions = o->Ints(rows);
                      for (int64_t i = 0; i < rows; ++i) {
                        positions.as<int32_t>()[i] = static_cast<int32_t>(i % 256);
                      }
                      RopeArgs args;
                      args.x = o->Real({rows, rotated});
                      args.positions = positions;
                      args.cos = o->Real({256, head_dim / 2});
                      args.sin = o->Real({256, head_dim / 2});
                      args.head_dim = head_dim;
                      return Bind(o, args, &Rope);
                    }});
  AddSampling(p, rows, cases);
}

void AddAttention(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const double head_flops = 4.0 * static_cast<double>(p.heads * p.head_dim);
  const double key_bytes = 8.0 * static_cast<double>(p.kv_heads * p.head_dim);
  const std::string shape =
      std::to_string(p.heads) + "/" + std::to_string(p.kv_heads) + "x" + std::to_string(p.head_dim);
  for (int64_t keys : {int64_t{256}, int64_t{1024}}) {
    cases->push_back({p.name, "attention decode " + std::to_string(keys), shape, rows,
                      head_flops * Pairs(rows, keys, true), key_bytes * Pairs(rows, keys, true),
                      [=] { return MakeAttention(p, rows, keys, true, false); }});
  }
  // Whole sequences of up to 256 tokens, as the learner packs them; then one of all rows.
  const int64_t length = std::min<int64_t>(rows, 256), sequences = rows / length;
  const double pairs = Pairs(sequences, length, false);
  cases->push_back({p.name, "attention packed", shape, rows, head_flops * pairs, 0,
                    [=] { return MakeAttention(p, sequences, length, false, false); }});
  cases->push_back({p.name, "attention backward", shape, rows, 2.5 * head_flops * pairs, 0,
                    [=] { return MakeAttention(p, sequences, length, false, true); }});
  if (rows <= 256) return;
  const double all = Pairs(1, rows, false);
  cases->push_back({p.name, "attention one sequence", shape, rows, head_flops * all, 0,
                    [=] { return MakeAttention(p, 1, rows, false, false); }});
  cases->push_back({p.name, "attention backward one sequence", shape, rows, 2.5 * head_flops * all,
                    0, [=] { return MakeAttention(p, 1, rows, false, true); }});
}

void AddOptimizer(const PolicyShape& p, std::vector<OpCase>* cases) {
  const int64_t q = p.heads * p.head_dim, kv = p.kv_heads * p.head_dim;
  const int64_t mlp = 3 * p.width * p.ffn * (p.experts + 1) + p.width * p.experts;
  const int64_t n = p.layers * (p.width * (2 * q + 2 * kv) + mlp) + 2 * p.width * p.vocab;
  const std::string shape = std::to_string(n);
  const double bytes = 4.0 * static_cast<double>(n);
  cases->push_back({p.name, "adamw", shape, 1, 0, 7 * bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      AdamwArgs args;
                      args.param = o->Real({n});
                      args.grad = o->Real({n});
                      args.m = o->Real({n});
                      args.v = o->Real({n}, 0);
                      args.lr = 1e-6;
                      args.weight_decay = 0.1;
                      args.update = 100;
                      return Bind(o, args, &Adamw);
                    }});
  cases->push_back({p.name, "grad_squares", shape, 1, 0, bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      const Tensor grad = o->Real({n});
                      const Tensor memory = o->Real({n / 1024 + 2});
                      const Tensor blocks =
                          Tensor::Vector(memory.data, DType::kFloat64,
                                         (n + numerics::kNormBlock - 1) / numerics::kNormBlock);
                      return Run([o, grad, blocks](Stream& stream) {
                        GradSquares(stream, {.grad = grad, .blocks = blocks});
                      });
                    }});
  // The transposed copy that dX reads, made after every update.
  const int64_t in = p.width, out = 2 * p.ffn;
  cases->push_back({p.name, "transpose_packed", std::to_string(in) + "x" + std::to_string(out), 1,
                    0, 8.0 * static_cast<double>(in * out), [=] {
                      auto o = std::make_shared<Operands>();
                      const TransposePackedArgs args{
                          .weight = o->Real({1, PackedPanels(out), in, numerics::kPanelColumns}),
                          .transposed =
                              o->Real({1, PackedPanels(in), out, numerics::kPanelColumns}),
                          .in = in,
                          .out = out};
                      return Bind(o, args, &TransposePacked);
                    }});
}

}  // namespace grouper::bench
