// Compares a policy in memory with a checkpoint on disk, tensor by tensor in file form, bit by bit.
// Works on a damaged checkpoint as long as its tensors can be found, because it does not check the
// manifest's hashes as VerifyCheckpoint does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "policy/optimizer.h"
#include "policy/policy.h"

namespace grouper {

struct TensorDifference {
  std::string file;    // "model.safetensors"
  std::string tensor;  // published name; the optimizer's with "exp_avg." or "exp_avg_sq." before it
  int64_t element = -1;      // in file form, row-major; -1: missing, or of another shape or type
  std::string stored, here;  // bits of the element in hexadecimal
};

// The first tensor that differs, in order of name: of the weights, then of the moments, then of the
// reference policy's weights (nullptr: none). kUser when a file cannot be read at all.
std::optional<TensorDifference> FirstTensorDifference(const std::string& folder,
                                                      const Policy& policy, Optimizer* optimizer,
                                                      const Policy* reference);

}  // namespace grouper
