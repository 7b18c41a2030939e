#include "policy/layers/router_stats.h"

#include <algorithm>
#include <numeric>

namespace grouper {
namespace {

// The mean over layers of of_layer(smallest load / mean load, largest load / mean load). A layer
// without counts adds 0.
template <typename OfLayer>
double MeanOverLayers(const std::vector<int64_t>& loads, int64_t experts, const OfLayer& of_layer) {
  if (loads.empty()) return 0;
  double sum = 0;
  for (auto begin = loads.begin(); begin != loads.end(); begin += experts) {
    const auto end = begin + experts;
    const double total = static_cast<double>(std::accumulate(begin, end, int64_t{0}));
    if (total == 0) continue;
    const auto [smallest, largest] = std::minmax_element(begin, end);
    sum += of_layer(static_cast<double>(*smallest * experts) / total,
                    static_cast<double>(*largest * experts) / total);
  }
  return sum / static_cast<double>(static_cast<int64_t>(loads.size()) / experts);
}

}  // namespace

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
  return MeanOverLayers(loads_, experts_, [](double, double largest) { return largest - 1; });
}

double RouterStats::LeastShare() const {
  return MeanOverLayers(loads_, experts_, [](double smallest, double) { return smallest; });
}

}  // namespace grouper
