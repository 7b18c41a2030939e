#include "policy/layers/rope_table.h"

#include <cmath>

#include "base/digest.h"

namespace grouper {

int64_t RopeTable::BytesOf(const PolicyConfig& config, DType dtype) {
  return 2 * config.max_positions() * (config.attention().head_dim() / 2) *
         static_cast<int64_t>(SizeOf(dtype));
}

RopeTable::RopeTable(const PolicyConfig& config, DType dtype) {
  const int64_t half = config.attention().head_dim() / 2, rows = config.max_positions();
  memory_ = Buffer(static_cast<size_t>(BytesOf(config, dtype)));
  char* second =
      static_cast<char*>(memory_.data()) + rows * half * static_cast<int64_t>(SizeOf(dtype));
  cos_ = Tensor::Matrix(memory_.data(), dtype, rows, half);
  sin_ = Tensor::Matrix(second, dtype, rows, half);
  for (int64_t i = 0; i < half; ++i) {
    const double inv_freq = std::pow(config.attention().rope_theta(),
                                     -static_cast<double>(i) / static_cast<double>(half));
    for (int64_t position = 0; position < rows; ++position) {
      const int64_t at = position * half + i;
      if (dtype == DType::kFloat64) {
        const double angle = static_cast<double>(position) * inv_freq;
        cos_.as<double>()[at] = std::cos(angle);
        sin_.as<double>()[at] = std::sin(angle);
      } else {
        const float angle = static_cast<float>(position) * static_cast<float>(inv_freq);
        cos_.as<float>()[at] = static_cast<float>(std::cos(static_cast<double>(angle)));
        sin_.as<float>()[at] = static_cast<float>(std::sin(static_cast<double>(angle)));
      }
    }
  }
}

std::string RopeTable::Sha256() const {
  return Sha256Hex({static_cast<const char*>(memory_.data()), memory_.bytes()});
}

}  // namespace grouper
