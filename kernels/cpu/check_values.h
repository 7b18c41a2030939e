// Checks of what tensors hold, for the CPU backend. An operator's shapes are checked for every
// backend; its values only here, because those of a device cannot be read by the host.
#pragma once

#include "kernels/tensor.h"

namespace grouper::cpu {

// kInternal unless every element of ids (int32, contiguous) lies in [0, bound). `what` reads
// "[embedding] ids".
void CheckIds(const char* what, const Tensor& ids, int64_t bound);

// kInternal unless each row of ids ([rows, k] int32) holds k distinct values in [0, bound).
void CheckDistinctIds(const char* what, const Tensor& ids, int64_t bound);

}  // namespace grouper::cpu
