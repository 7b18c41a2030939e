#include "policy/checkpoint/checkpoint_difference.h"

#include <cstring>
#include <vector>

#include "base/hex.h"
#include "base/io/file.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/checkpoint/safetensors.h"

namespace grouper {
namespace {

// The bits of a little-endian number.
std::string Hex(const char* bytes, size_t size) {
  std::string text = "0x";
  for (size_t i = size; i > 0; --i) AppendHex(static_cast<unsigned char>(bytes[i - 1]), &text);
  return text;
}

// Compares the tensors of one file of the checkpoint with the numbers in memory.
class StoredFile {
 public:
  StoredFile(const std::string& folder, const std::string& name, const Weights& layout)
      : name_(name),
        path_(JoinPath(folder, name)),
        map_(path_, "checkpoint"),
        file_(ReadSafetensors(map_.bytes(), path_)),
        form_(layout),
        element_bytes_(SizeOf(layout.dtype())) {}

  std::optional<TensorDifference> Compare(const Weights& weights) const {
    for (const FileTensor& tensor : form_.tensors()) {
      if (auto found = CompareTensor(tensor, "", weights)) return found;
    }
    return std::nullopt;
  }

  // One of Adam's moments; the router bias has none.
  std::optional<TensorDifference> Compare(const Buffer& moment, const std::string& prefix) const {
    for (const FileTensor& tensor : form_.tensors()) {
      if (tensor.router_bias) continue;
      if (auto found = CompareTensor(tensor, prefix, moment)) return found;
    }
    return std::nullopt;
  }

 private:
  template <typename Numbers>  // Weights or Buffer
  std::optional<TensorDifference> CompareTensor(const FileTensor& tensor, const std::string& prefix,
                                                const Numbers& numbers) const {
    TensorDifference difference;
    difference.file = name_;
    difference.tensor = prefix + tensor.name;
    const SafetensorsView* view = file_.Find(difference.tensor);
    if (view == nullptr || view->dtype != form_.dtype_name() || view->shape != tensor.shape) {
      difference.stored = view == nullptr ? "(missing)" : "(another shape or type)";
      difference.here = form_.dtype_name();
      return difference;
    }
    std::vector<char> here(form_.FileBytes(tensor));
    form_.Read(tensor, numbers, here.data());
    for (size_t at = 0; at < here.size(); at += element_bytes_) {
      if (std::memcmp(here.data() + at, view->bytes.data() + at, element_bytes_) == 0) continue;
      difference.element = static_cast<int64_t>(at / element_bytes_);
      difference.stored = Hex(view->bytes.data() + at, element_bytes_);
      difference.here = Hex(here.data() + at, element_bytes_);
      return difference;
    }
    return std::nullopt;
  }

  std::string name_, path_;
  MappedFile map_;
  SafetensorsFile file_;
  FileTensors form_;
  size_t element_bytes_;
};

}  // namespace

std::optional<TensorDifference> FirstTensorDifference(const std::string& folder,
                                                      const Policy& policy, Optimizer* optimizer,
                                                      const Policy* reference) {
  const Weights& weights = policy.weights();
  if (auto found = StoredFile(folder, "model.safetensors", weights).Compare(weights)) return found;
  const StoredFile moments(folder, "optimizer.safetensors", weights);
  if (auto found = moments.Compare(optimizer->m(), "exp_avg.")) return found;
  if (auto found = moments.Compare(optimizer->v(), "exp_avg_sq.")) return found;
  if (reference == nullptr) return std::nullopt;
  const Weights& frozen = reference->weights();
  return StoredFile(folder, "reference.safetensors", frozen).Compare(frozen);
}

}  // namespace grouper
