#include "policy/checkpoint/checkpoint_difference.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include "base/io/file.h"
#include "policy/checkpoint/safetensors.h"

namespace grouper {
namespace {

std::string Hex(const char* bytes, size_t size) {
  uint64_t bits = 0;
  std::memcpy(&bits, bytes, size);
  char text[32];
  std::snprintf(text, sizeof(text), "0x%0*lx", static_cast<int>(2 * size),
                static_cast<unsigned long>(bits));
  return text;
}

struct Part {
  const Buffer* flat;
  const char* prefix;
  bool router_bias;  // belongs to the weights alone
};

std::optional<TensorDifference> Compare(const std::string& folder, const std::string& name,
                                        const Weights& weights, const std::vector<Part>& parts) {
  const std::string path = JoinPath(folder, name);
  const MappedFile map(path, "checkpoint");
  const SafetensorsFile file = ReadSafetensors(map.bytes(), path);
  const size_t size = SizeOf(weights.dtype());
  const char* dtype = weights.dtype() == DType::kFloat32 ? "F32" : "F64";
  for (const Part& part : parts) {
    for (const FileTensor& tensor : weights.file_tensors()) {
      if (tensor.router_bias && !part.router_bias) continue;
      TensorDifference difference;
      difference.file = name;
      difference.tensor = part.prefix + tensor.name;
      const SafetensorsView* view = file.Find(difference.tensor);
      if (view == nullptr || view->dtype != dtype || view->shape != tensor.shape) {
        difference.stored = view == nullptr ? "(missing)" : "(another shape or type)";
        difference.here = dtype;
        return difference;
      }
      std::vector<char> here(view->bytes.size());
      weights.ToFile(tensor, *part.flat, here.data());
      for (size_t at = 0; at < here.size(); at += size) {
        if (std::memcmp(here.data() + at, view->bytes.data() + at, size) == 0) continue;
        difference.element = static_cast<int64_t>(at / size);
        difference.stored = Hex(view->bytes.data() + at, size);
        difference.here = Hex(here.data() + at, size);
        return difference;
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<TensorDifference> FirstTensorDifference(const std::string& folder,
                                                      const Policy& policy, Optimizer* optimizer,
                                                      const Policy* reference) {
  const Weights& weights = policy.weights();
  auto difference = Compare(folder, "model.safetensors", weights, {{&weights.values(), "", true}});
  if (!difference) {
    difference =
        Compare(folder, "optimizer.safetensors", weights,
                {{&optimizer->m(), "exp_avg.", false}, {&optimizer->v(), "exp_avg_sq.", false}});
  }
  if (difference || reference == nullptr) return difference;
  const Weights& frozen = reference->weights();
  return Compare(folder, "reference.safetensors", frozen, {{&frozen.values(), "", true}});
}

}  // namespace grouper
