#include "bench/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"
#include "kernels/memory.h"

namespace grouper {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t ThreadsOf(const Stream& stream) {
  return stream.pool == nullptr ? 1 : stream.pool->threads();
}

template <typename Work>
double BestSeconds(int times, Work&& work) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) {
    const double begin = Now();
    work();
    best = std::min(best, Now() - begin);
  }
  return best;
}

}  // namespace

void FmaLoop(Stream& stream, const FmaLoopArgs& args) {
  GROUPER_DISPATCH(FmaLoop, stream, args, DType::kFloat32);
}

void ReadLoop(Stream& stream, const ReadLoopArgs& args) {
  GROUPER_DISPATCH(ReadLoop, stream, args, DType::kFloat32);
}

double MeasureFmaPeak(Stream& stream) {
  const int64_t tasks = ThreadsOf(stream);
  // The scalar form has its own exact fma, about a hundred times slower.
  const int64_t steps = stream.isa == cpu::Isa::kScalar ? 48000 : 4800000;
  std::vector<float> sink(static_cast<size_t>(tasks * 16));
  const FmaLoopArgs args{tasks, steps, sink.data()};
  const double best = BestSeconds(6, [&] { FmaLoop(stream, args); });
  return 2.0 * static_cast<double>(16 * steps * tasks) / best * 1e-9;
}

double MeasureReadBandwidth(Stream& stream) {
  const int64_t tasks = ThreadsOf(stream), elements = int64_t{64} << 20;
  const Buffer data(static_cast<size_t>(elements) * 4);
  std::fill_n(static_cast<float*>(data.data()), elements, 1.0f);
  std::vector<float> sink(static_cast<size_t>(tasks * 16));
  const ReadLoopArgs args{static_cast<const float*>(data.data()), elements, tasks, sink.data()};
  const double best = BestSeconds(4, [&] { ReadLoop(stream, args); });
  return static_cast<double>(elements) * 4 / best * 1e-9;
}

}  // namespace grouper
