#include "bench/op_cases.h"
#include "kernels/attention/attention.h"
#include "kernels/embed/embedding.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/router_topk.h"
#include "kernels/numerics.h"

namespace grouper::bench {
namespace {

// [rows, k] int32: number i of the matrix is step * i mod count.
Tensor Spread(Operands* o, int64_t rows, int64_t k, int64_t step, int64_t count) {
  const Tensor all = o->Ints(rows * k);
  for (int64_t i = 0; i < rows * k; ++i) {
    all.as<int32_t>()[i] = static_cast<int32_t>(step * i % count);
  }
  return Tensor::Matrix(all.data, DType::kInt32, rows, k);
}

}  // namespace

void AddRouting(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const int64_t width = p.width, experts = p.experts, k = p.top_k, slots = rows * k;
  const double row_bytes = 4.0 * static_cast<double>(rows * width);
  const double score_bytes = 4.0 * static_cast<double>(rows * experts);
  const RouterRule rule{.score = RouterScore::kSoftmax};
  cases->push_back({p.name, "router_topk", std::to_string(experts), rows, 0, 2 * score_bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      RouterTopkArgs args;
                      args.logits = o->Real({rows, experts}, 3);
                      args.scores = o->Real({rows, experts});
                      args.experts = Spread(o.get(), rows, k, 1, experts);
                      args.weights = o->Real({rows, k});
                      args.rule = rule;
                      return Bind(o, args, &RouterTopk);
                    }});
  cases->push_back(
      {p.name, "router_topk_backward", std::to_string(experts), rows, 0, 2 * score_bytes, [=] {
         auto o = std::make_shared<Operands>();
         const RouterTopkBackwardArgs args{.scores = o->Real({rows, experts}),
                                           .experts = Spread(o.get(), rows, k, 1, experts),
                                           .weights = o->Real({rows, k}),
                                           .dweights = o->Real({rows, k}),
                                           .dlogits = o->Real({rows, experts}),
                                           .rule = rule};
         return Bind(o, args, &RouterTopkBackward);
       }});
  // Slots lie 5 rows apart, as lists of rows an expert leave them apart.
  cases->push_back({p.name, "combine", std::to_string(width), rows, 0,
                    static_cast<double>(k + 2) * row_bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      const CombineArgs args{.y = o->Real({slots, width}),
                                             .slot_row = Spread(o.get(), rows, k, 5, slots),
                                             .weights = o->Real({rows, k}),
                                             .shared = {},
                                             .residual = o->Real({rows, width}),
                                             .out = o->Real({rows, width})};
                      return Bind(o, args, &Combine);
                    }});
  cases->push_back({p.name, "combine_backward", std::to_string(width), rows, 0,
                    static_cast<double>(2 * k + 1) * row_bytes, [=] {
                      auto o = std::make_shared<Operands>();
                      const CombineBackwardArgs args{.dout = o->Real({rows, width}),
                                                     .y = o->Real({slots, width}),
                                                     .slot_row = Spread(o.get(), rows, k, 5, slots),
                                                     .weights = o->Real({rows, k}),
                                                     .dy = o->Real({slots, width}),
                                                     .dweights = o->Real({rows, k})};
                      return Bind(o, args, &CombineBackward);
                    }});
}

void AddTables(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const int64_t width = p.width, vocab = p.vocab, kv = p.kv_heads * p.head_dim;
  const int64_t kv_heads = p.kv_heads, head_dim = p.head_dim;
  const int64_t blocks = (rows + numerics::kKeyBlock - 1) / numerics::kKeyBlock;
  cases->push_back({p.name, "embedding_backward", std::to_string(width), rows, 0,
                    12.0 * static_cast<double>(rows * width), [=] {
                      auto o = std::make_shared<Operands>();
                      const Tensor ids = Spread(o.get(), rows, 1, 5, vocab);
                      const EmbeddingBackwardArgs args{
                          .ids = Tensor::Vector(ids.data, DType::kInt32, rows),
                          .dout = o->Real({rows, width}),
                          .dtable = o->Real({vocab, width})};
                      return Bind(o, args, &EmbeddingBackward);
                    }});
  // One sequence of all rows.
  cases->push_back({p.name, "append_kv", std::to_string(kv), rows, 0,
                    16.0 * static_cast<double>(rows * kv), [=] {
                      auto o = std::make_shared<Operands>();
                      const Tensor positions = Spread(o.get(), rows, 1, 1, rows);
                      const AppendKvArgs args{
                          .k = o->Real({rows, kv}),
                          .v = o->Real({rows, kv}),
                          .sequence = o->Ints(rows),
                          .positions = Tensor::Vector(positions.data, DType::kInt32, rows),
                          .block_table = Spread(o.get(), 1, blocks, 1, blocks),
                          .k_cache = o->Real({blocks, kv_heads, head_dim, numerics::kKeyBlock}),
                          .v_cache = o->Real({blocks, kv_heads, numerics::kKeyBlock, head_dim})};
                      return Bind(o, args, &AppendKv);
                    }});
}

}  // namespace grouper::bench
