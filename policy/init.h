// Initial weights of a new policy.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "policy/weights.h"

namespace grouper {

// Normal numbers from Philox stream 2: linear 1/sqrt(fan_in), outputs into the residual stream also
// / sqrt(2 layers), embedding 0.3, head (tied or not) 0.5/sqrt(width), norms 1, router bias 0.
// Every number is a function of (seed, tensor's name, element).
void InitRandom(uint64_t seed, Weights* weights, Stream& stream);

}  // namespace grouper
