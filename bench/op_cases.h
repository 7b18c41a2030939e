// The operators at the shapes of three policies, with what a call costs: the operations it must
// compute and the bytes it must touch. make() builds the operands of a case, so that only one case
// at a time is in memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/memory.h"
#include "kernels/stream.h"
#include "kernels/tensor.h"

namespace grouper::bench {

struct OpCase {
  std::string policy;  // "0.4M", "10M", "100M"
  std::string op;      // "matmul qkv", ...
  std::string shape;   // "256x512"
  int64_t rows = 0;
  double flops = 0;  // per call; 0: only bytes count
  double bytes = 0;  // per call, each operand once
  std::function<std::function<void(Stream&)>()> make;
};

// Shapes of a policy (width, heads, ... as in its config).
struct PolicyShape {
  std::string name;
  int64_t width, layers, heads, kv_heads, head_dim, ffn, experts, top_k, vocab;
};
const std::vector<PolicyShape>& PolicyShapes();

// Operands of one case: zeros, or small numbers from a fixed sequence.
class Operands {
 public:
  Tensor Real(std::vector<int64_t> shape, double size = 1);
  Tensor Ints(int64_t n);

 private:
  std::vector<Buffer> buffers_;
  uint32_t state_ = 1;
};

// Operands of a case and the call on them.
template <typename Args>
std::function<void(Stream&)> Bind(std::shared_ptr<Operands> operands, const Args& args,
                                  void (*op)(Stream&, const Args&)) {
  return [operands, args, op](Stream& stream) { op(stream, args); };
}

void AddProducts(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
void AddRowOps(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
void AddAttention(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
// Choice of experts and the sum of their outputs, for policies with experts.
void AddRouting(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
// Operators that write rows to places given by an index: the embedding's gradient, the KV cache.
void AddTables(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
// Optimizer and gradient norm over all parameters of the policy.
void AddOptimizer(const PolicyShape& policy, std::vector<OpCase>* cases);

}  // namespace grouper::bench
