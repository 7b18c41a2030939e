#include "bench/op_cases.h"

#include <algorithm>

#include "kernels/gemm/matmul.h"
#include "kernels/numerics.h"

namespace grouper::bench {

const std::vector<PolicyShape>& PolicyShapes() {
  static const std::vector<PolicyShape> shapes = {
      {"0.4M", 64, 3, 4, 2, 16, 64, 8, 2, 123},
      {"10M", 256, 8, 8, 4, 32, 768, 0, 0, 8192},
      {"100M", 768, 12, 12, 4, 64, 2048, 0, 0, 32000},
  };
  return shapes;
}

Tensor Operands::Real(std::vector<int64_t> shape, double size) {
  Tensor t;
  t.dtype = DType::kFloat32;
  t.rank = static_cast<int>(shape.size());
  int64_t n = 1;
  for (size_t i = 0; i < shape.size(); ++i) n *= t.shape[i] = shape[i];
  t.row_stride = t.rank < 2 ? 1 : n / std::max<int64_t>(shape[0], 1);
  buffers_.emplace_back(static_cast<size_t>(std::max<int64_t>(n, 1)) * 4);
  t.data = buffers_.back().data();
  for (int64_t i = 0; i < n; ++i) {
    state_ = state_ * 1664525u + 1013904223u;
    t.as<float>()[i] = static_cast<float>(size * (static_cast<double>(state_ >> 8) * 0x1p-23 - 1));
  }
  return t;
}

Tensor Operands::Ints(int64_t n) {
  buffers_.emplace_back(static_cast<size_t>(std::max<int64_t>(n, 1)) * 4);
  return Tensor::Vector(buffers_.back().data(), DType::kInt32, n);
}

namespace {

std::string ShapeText(int64_t in, int64_t out) {
  return std::to_string(in) + "x" + std::to_string(out);
}

// A product of [rows, in] with an [in, out] weight, and its two gradients.
void AddProduct(const PolicyShape& policy, const std::string& name, int64_t rows, int64_t in,
                int64_t out, std::vector<OpCase>* cases) {
  const double flops = 2.0 * static_cast<double>(rows * in * out);
  const double bytes = 4.0 * static_cast<double>(rows * (in + out) + PackedElements(in, out));
  const auto forward = [](int64_t m, int64_t k, int64_t n) {
    auto o = std::make_shared<Operands>();
    const MatmulArgs args{.x = o->Real({m, k}),
                          .weight = o->Real({PackedPanels(n), k, numerics::kPanelColumns}, 0.1),
                          .bias = {},
                          .residual = {},
                          .out = o->Real({m, n})};
    return Bind(o, args, &Matmul);
  };
  cases->push_back({policy.name, "matmul " + name, ShapeText(in, out), rows, flops, bytes,
                    [=] { return forward(rows, in, out); }});
  cases->push_back({policy.name, "matmul dX " + name, ShapeText(out, in), rows, flops, bytes,
                    [=] { return forward(rows, out, in); }});
  cases->push_back({policy.name, "matmul dW " + name, ShapeText(in, out), rows, flops,
                    bytes + 4.0 * static_cast<double>(PackedElements(in, out)), [=] {
                      auto o = std::make_shared<Operands>();
                      const MatmulWeightGradArgs args{
                          .x = o->Real({rows, in}),
                          .dy = o->Real({rows, out}),
                          .grad = o->Real({PackedPanels(out), in, numerics::kPanelColumns}, 0)};
                      return Bind(o, args, &MatmulWeightGrad);
                    }});
}

// Row lists of `rows` tokens over experts, top_k each, as a balanced router would deal them.
struct Lists {
  Tensor index, offsets;
};
Lists DealRows(Operands* o, int64_t rows, int64_t experts, int64_t top_k) {
  Lists lists{o->Ints(rows * top_k), o->Ints(experts + 1)};
  int32_t at = 0;
  for (int64_t e = 0; e < experts; ++e) {
    lists.offsets.as<int32_t>()[e] = at;
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t slot = 0; slot < top_k; ++slot) {
        if ((t * 5 + slot * 3) % experts == e) {
          lists.index.as<int32_t>()[at++] = static_cast<int32_t>(t);
        }
      }
    }
  }
  lists.offsets.as<int32_t>()[experts] = at;
  return lists;
}

void AddExperts(const PolicyShape& p, const std::string& name, int64_t rows, int64_t in,
                int64_t out, std::vector<OpCase>* cases) {
  const double flops = 2.0 * static_cast<double>(rows * p.top_k * in * out);
  const double bytes =
      4.0 * static_cast<double>(rows * p.top_k * (in + out) + p.experts * PackedElements(in, out));
  const int64_t experts = p.experts, top_k = p.top_k;
  cases->push_back(
      {p.name, "grouped " + name, ShapeText(in, out), rows, flops, bytes, [=] {
         auto o = std::make_shared<Operands>();
         const Lists lists = DealRows(o.get(), rows, experts, top_k);
         const GroupedMatmulArgs args{
             .x = o->Real({rows, in}),
             .row_index = lists.index,
             .offsets = lists.offsets,
             .weight = o->Real({experts, PackedPanels(out), in, numerics::kPanelColumns}, 0.1),
             .out = o->Real({rows * top_k, out})};
         return Bind(o, args, &GroupedMatmul);
       }});
  cases->push_back(
      {p.name, "grouped dW " + name, ShapeText(in, out), rows, flops, bytes, [=] {
         auto o = std::make_shared<Operands>();
         const Lists lists = DealRows(o.get(), rows, experts, top_k);
         const GroupedMatmulWeightGradArgs args{
             .x = o->Real({rows, in}),
             .row_index = lists.index,
             .offsets = lists.offsets,
             .dy = o->Real({rows * top_k, out}),
             .grad = o->Real({experts, PackedPanels(out), in, numerics::kPanelColumns}, 0)};
         return Bind(o, args, &GroupedMatmulWeightGrad);
       }});
}

}  // namespace

void AddProducts(const PolicyShape& p, int64_t rows, std::vector<OpCase>* cases) {
  const int64_t q = p.heads * p.head_dim, kv = p.kv_heads * p.head_dim;
  AddProduct(p, "qkv", rows, p.width, q + 2 * kv, cases);
  AddProduct(p, "out_proj", rows, q, p.width, cases);
  AddProduct(p, "gate_up", rows, p.width, 2 * p.ffn, cases);
  AddProduct(p, "down", rows, p.ffn, p.width, cases);
  if (p.experts > 0) {
    AddProduct(p, "router", rows, p.width, p.experts, cases);
    AddExperts(p, "gate_up", rows, p.width, 2 * p.ffn, cases);
    AddExperts(p, "down", rows, p.ffn, p.width, cases);
  }
  AddProduct(p, "head", rows, p.width, p.vocab, cases);
}

}  // namespace grouper::bench
