// The operators at the shapes of three policies, with what a call costs: multiply-adds it must make
// and bytes it must touch. A case owns its operands; Make() builds them, so that one case at a time
// is in memory.
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
  double flops = 0;  // a call; 0: judged by bytes alone
  double bytes = 0;  // a call, each operand once
  std::function<std::function<void(Stream&)>()> make;
};

// Shapes of a policy (width, heads, ... as in its config).
struct PolicyShape {
  std::string name;
  int64_t width, layers, heads, kv_heads, head_dim, ffn, experts, top_k, vocab;
};
const std::vector<PolicyShape>& PolicyShapes();

// Operands of one case, zeroed or filled with small numbers that only the index makes.
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
// Choice of experts and the sum of their outputs; only policies with experts have them.
void AddRouting(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
// Rows that find their place by an index: gradient of the embedding, keys and values to the cache.
void AddTables(const PolicyShape& policy, int64_t rows, std::vector<OpCase>* cases);
// Optimizer and gradient norm over all parameters of the policy.
void AddOptimizer(const PolicyShape& policy, std::vector<OpCase>* cases);

}  // namespace grouper::bench
