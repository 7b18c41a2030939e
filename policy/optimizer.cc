#include "policy/optimizer.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "kernels/numerics.h"
#include "kernels/optim/adamw.h"

namespace grouper {

int64_t Optimizer::NormBytes(int64_t elements) { return (elements / numerics::kNormBlock + 1) * 8; }

Optimizer::Optimizer(Weights* weights)
    : weights_(weights),
      grads_(weights->flat_bytes()),
      m_(weights->flat_bytes()),
      v_(weights->flat_bytes()),
      blocks_(static_cast<size_t>(NormBytes(weights->elements()))),
      grad_tensors_(weights->ViewsOf(grads_)) {}

void Optimizer::ClearGrads() { std::memset(grads_.data(), 0, grads_.bytes()); }

void Optimizer::ClearMoments() {
  std::memset(m_.data(), 0, m_.bytes());
  std::memset(v_.data(), 0, v_.bytes());
  updates_ = 0;
}

std::string Optimizer::FirstNonFinite(const Buffer& buffer) const {
  for (const Parameter& p : weights_->parameters()) {
    for (int64_t i = p.offset; i < p.offset + p.elements; ++i) {
      const double x = weights_->dtype() == DType::kFloat32
                           ? static_cast<double>(static_cast<const float*>(buffer.data())[i])
                           : static_cast<const double*>(buffer.data())[i];
      if (!std::isfinite(x)) return p.name + "[" + std::to_string(i - p.offset) + "]";
    }
  }
  return "";
}

void Optimizer::ThrowSpoiled(const OptimizerRule& rule, double lr, double norm) const {
  std::string first, kind;
  const std::pair<const char*, const Buffer*> buffers[] = {
      {"weight", &weights_->values()}, {"first moment", &m_}, {"second moment", &v_}};
  for (const auto& [name, buffer] : buffers) {
    first = FirstNonFinite(*buffer);
    kind = name;
    if (!first.empty()) break;
  }
  ThrowUser(
      "[optimizer] this update made a number that is not finite, so the run stops; no checkpoint "
      "holds it, so the last one is good. Start a new run with a lower optimizer.lr, a larger "
      "optimizer.eps, or an optimizer.max_grad_norm that clips, and with init_from set to the last "
      "checkpoint if there is one. If the same command, started once more, gets past this update, "
      "the memory or the processor of this machine is at fault",
      Named("first", kind + " " + first), Named("update", updates_), Named("lr", lr),
      Named("grad_norm", norm), Named("max_grad_norm", rule.max_grad_norm), Named("eps", rule.eps));
}

double Optimizer::Update(Stream& stream, const OptimizerRule& rule, double lr) {
  CHECK(!spoiled_, "[optimizer] an earlier update has spoiled the weights");
  const int64_t n = weights_->elements();
  const DType dtype = weights_->dtype();
  const int64_t blocks = (n + numerics::kNormBlock - 1) / numerics::kNormBlock;
  const double norm = std::sqrt(
      GradSquares(stream, {.grad = Tensor::Vector(grads_.data(), dtype, n),
                           .blocks = Tensor::Vector(blocks_.data(), DType::kFloat64, blocks)}));
  if (!std::isfinite(norm)) {
    const std::string first = FirstNonFinite(grads_);
    ThrowInternal(
        "[learner] the gradient is not finite, and no weight was changed; lower optimizer.lr or "
        "look at the step's traces",
        Named("first_bad_element", first.empty() ? "none (the sum of squares overflowed)" : first));
  }
  ++updates_;
  const double scale = rule.max_grad_norm > 0 ? ClipScale(norm, rule.max_grad_norm) : 1;
  int32_t not_finite = 0;
  for (const Parameter& p : weights_->parameters()) {
    const auto part = [&](const Buffer& buffer) {
      return Tensor::Vector(buffer.data(), dtype, n).Rows(p.offset, p.elements);
    };
    Adamw(stream, {.param = part(weights_->values()),
                   .grad = part(grads_),
                   .m = part(m_),
                   .v = part(v_),
                   .grad_scale = scale,
                   .lr = lr,
                   .beta1 = rule.beta1,
                   .beta2 = rule.beta2,
                   .eps = rule.eps,
                   .weight_decay = p.decays ? rule.weight_decay : 0,
                   .update = updates_,
                   .not_finite = Tensor::Vector(&not_finite, DType::kInt32, 1)});
  }
  if (not_finite != 0) {
    spoiled_ = true;
    ThrowSpoiled(rule, lr, norm);
  }
  weights_->RefreshTransposed(stream);
  return norm;
}

}  // namespace grouper
