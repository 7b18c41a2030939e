// What this machine can do at most, measured in the run that compares with it: fused multiply-adds
// from registers, and bytes read from memory. Threads: those of the stream.
#pragma once

#include "kernels/op.h"

namespace grouper {

struct FmaLoopArgs {
  int64_t tasks = 1;      // one a thread
  int64_t steps = 0;      // multiply-adds of 16 lanes a task
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

// GFLOP/s of fp32 multiply-adds (two a lane), the best of several short loops.
double MeasureFmaPeak(Stream& stream);
// GB/s of reading 256 MiB from memory.
double MeasureReadBandwidth(Stream& stream);

}  // namespace grouper
