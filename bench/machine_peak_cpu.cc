#include "bench/machine_peak.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"

namespace grouper::cpu::GROUPER_VARIANT {

// Chains that hide the latency of two units and fit the registers.
#if defined(GROUPER_FORM_AVX512)
constexpr int kChains = 12;
#else
constexpr int kChains = 6;
#endif

void FmaLoop(Stream& stream, const FmaLoopArgs& args) {
  ParallelFor(stream, args.tasks, [&](int64_t task) {
    Lanes chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = Set(static_cast<real>(i));
    const Lanes a = Set(static_cast<real>(0.999)), b = Set(static_cast<real>(0.001));
    for (int64_t step = 0; step < args.steps; step += kChains) {
      for (int i = 0; i < kChains; ++i) chain[i] = Fma(chain[i], a, b);
    }
    Lanes sum = Zero();
    for (int i = 0; i < kChains; ++i) sum = Add(sum, chain[i]);
    real out[kLanes];
    Store(out, sum);
    for (int i = 0; i < kLanes; ++i) args.sink[task * kLanes + i] = static_cast<float>(out[i]);
  });
}

void ReadLoop(Stream& stream, const ReadLoopArgs& args) {
  constexpr int kStreams = 4;  // one alone does not keep enough lines on their way
  const int64_t share = args.elements / args.tasks / kStreams / 256 * 256;
  ParallelFor(stream, args.tasks, [&](int64_t task) {
    const float* data = args.data + task * kStreams * share;
    Lanes sum[2 * kStreams];
    for (int i = 0; i < 2 * kStreams; ++i) sum[i] = Zero();
    for (int64_t at = 0; at < share; at += 2 * kLanes * static_cast<int64_t>(sizeof(real)) / 4) {
      for (int s = 0; s < kStreams; ++s) {
        const real* from = reinterpret_cast<const real*>(data + s * share + at);
        sum[2 * s] = Add(sum[2 * s], Load(from));
        sum[2 * s + 1] = Add(sum[2 * s + 1], Load(from + kLanes));
      }
    }
    for (int i = 1; i < 2 * kStreams; ++i) sum[0] = Add(sum[0], sum[i]);
    real out[kLanes];
    Store(out, sum[0]);
    for (int i = 0; i < kLanes; ++i) args.sink[task * kLanes + i] = static_cast<float>(out[i]);
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
