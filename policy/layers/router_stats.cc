#include "policy/layers/router_stats.h"

#include <algorithm>

namespace grouper {

RouterStats::RouterStats(const PolicyConfig& config)
    : moe_layers_(MoeLayers(config)), experts_(config.moe().experts()) {
  loads_.resize(static_cast<size_t>(moe_layers_ * experts_));
}

void RouterStats::Count(int64_t moe_layer, const Tensor& experts) {
  const int32_t* ids = experts.as<int32_t>();
  int64_t* load = loads_.data() + moe_layer * experts_;
  for (int64_t i = 0; i < experts.elements(); ++i) ++load[ids[i]];
}

void RouterStats::Clear() { std::fill(loads_.begin(), loads_.end(), 0); }

void RouterStats::MoveBias(double step, Weights* weights) const {
  if (step == 0 || !weights->config().moe().choice_bias()) return;
  const Tensor bias = weights->router_bias();
  for (int64_t layer = 0; layer < moe_layers_; ++layer) {
    const int64_t* load = loads_.data() + layer * experts_;
    int64_t total = 0;
    for (int64_t e = 0; e < experts_; ++e) total += load[e];
    for (int64_t e = 0; e < experts_; ++e) {
      // sign(mean - load) in integers: total / experts against load.
      const int64_t difference = total - load[e] * experts_;
      const double move = difference > 0 ? step : difference < 0 ? -step : 0;
      if (bias.dtype == DType::kFloat32) {
        bias.as<float>()[layer * experts_ + e] += static_cast<float>(move);
      } else {
        bias.as<double>()[layer * experts_ + e] += move;
      }
    }
  }
}

double RouterStats::MaxViolation() const {
  double sum = 0;
  for (int64_t layer = 0; layer < moe_layers_; ++layer) {
    const auto begin = loads_.begin() + layer * experts_, end = begin + experts_;
    int64_t total = 0;
    for (auto it = begin; it != end; ++it) total += *it;
    if (total == 0) continue;
    sum +=
        static_cast<double>(*std::max_element(begin, end) * experts_) / static_cast<double>(total) -
        1;
  }
  return moe_layers_ > 0 ? sum / static_cast<double>(moe_layers_) : 0;
}

double RouterStats::LeastShare() const {
  double sum = 0;
  for (int64_t layer = 0; layer < moe_layers_; ++layer) {
    const auto begin = loads_.begin() + layer * experts_, end = begin + experts_;
    int64_t total = 0;
    for (auto it = begin; it != end; ++it) total += *it;
    if (total == 0) continue;
    sum +=
        static_cast<double>(*std::min_element(begin, end) * experts_) / static_cast<double>(total);
  }
  return moe_layers_ > 0 ? sum / static_cast<double>(moe_layers_) : 0;
}

}  // namespace grouper
