// The peak of this machine, measured in the same run as what is compared with it: fused
// multiply-adds from registers, and bytes read from memory, with the threads of the stream.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct FmaLoopArgs {
  int64_t tasks = 1;      // one per thread
  int64_t steps = 0;      // multiply-adds of 16 lanes per task
  float* sink = nullptr;  // [tasks * 16]
};
GROUPER_OP(FmaLoop)

struct ReadLoopArgs {
  const float* data = nullptr;
  int64_t elements = 0;  // a multiple of 256
  int64_t tasks = 1;
  float* sink = nullptr;  // [tasks * 16]
};
GROUPER_OP(ReadLoop)

// GFLOP/s of fp32 multiply-adds (two operations per lane), the best of several short loops.
double MeasureFmaPeak(Stream& stream);
// GB/s of reading 256 MiB from memory.
double MeasureReadBandwidth(Stream& stream);

}  // namespace grouper
