#include "policy/init.h"

#include <cmath>

#include "base/digest.h"
#include "base/random.h"
#include "policy/checkpoint/file_tensors.h"

namespace grouper {
namespace {

// Box and Muller in double, rounded to fp32 once: host libm may differ in the last bit of a double
// between processors, but in all that was tried never after this rounding (docs/numerics.md 12).
float NormalAt(uint64_t seed, uint64_t object, uint64_t element) {
  const PhiloxWords w =
      PhiloxAt(seed, RandomStream::kInitialWeights, object, static_cast<uint32_t>(element));
  const double u = (w[0] + 1.0) * 0x1p-32, angle = w[1] * 0x1p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * angle));
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Standard deviation by published name; 0: a norm (ones), -1: the router bias (zeros).
double Deviation(const FileTensor& tensor, const PolicyConfig& config) {
  if (tensor.router_bias) return -1;
  if (tensor.shape.size() == 1) return 0;
  const double fan_in = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
  const bool embedding = tensor.name == "model.embed_tokens.weight";
  if (embedding && !config.tied_head()) return 0.3;
  // A tied embedding has the head's deviation: norms make up for a small residual stream, but
  // nothing makes up for large logits.
  if (embedding || tensor.name == "lm_head.weight") return 0.5 * fan_in;
  const bool residual =
      EndsWith(tensor.name, "o_proj.weight") || EndsWith(tensor.name, "down_proj.weight");
  return residual ? fan_in / std::sqrt(2.0 * static_cast<double>(config.layers())) : fan_in;
}

}  // namespace

void InitRandom(uint64_t seed, Weights* weights, Stream& stream) {
  const FileTensors form(*weights);
  for (const FileTensor& tensor : form.tensors()) {
    const int64_t n = tensor.elements();
    // The object is the hash of the name, so one more tensor changes the numbers of no other.
    const uint64_t object = WordSumDigest(tensor.name.data(), tensor.name.size());
    const double deviation = Deviation(tensor, weights->config());
    Buffer file(form.FileBytes(tensor));
    for (int64_t i = 0; i < n; ++i) {
      float x = deviation == 0 ? 1.0f : 0.0f;
      if (deviation > 0) {
        x = static_cast<float>(deviation) * NormalAt(seed, object, static_cast<uint64_t>(i));
      }
      if (weights->dtype() == DType::kFloat32) {
        static_cast<float*>(file.data())[i] = x;
      } else {
        static_cast<double*>(file.data())[i] = static_cast<double>(x);
      }
    }
    form.Write(tensor, file.data(), weights);
  }
  weights->RefreshTransposed(stream);
}

}  // namespace grouper
