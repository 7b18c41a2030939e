// Every constant that fixes an order of additions, a tile or a polynomial (docs/numerics.md 2 to
// 10). Whoever changes a value here changes the bits of every run: that is a new numeric profile.
#pragma once

#include <cstdint>

namespace grouper::numerics {

inline constexpr const char kCpuProfile[] = "cpu-fp32-2";

// Products: a packed weight is stored in panels of 32 output columns, [ceil(out / 32)][in][32].
inline constexpr int64_t kPanelColumns = 32;
// R256, the order of a sum over a row: kernels/cpu/row_tree.h.
inline constexpr int64_t kTreeLanes = 256;
// Attention: blocks of keys begin at absolute positions 0, 64, ...; splits at 0, 512, ...
inline constexpr int64_t kKeyBlock = 64;
inline constexpr int64_t kKeySplit = 512;
// Log-softmax and sampling: tiles of 256 ids. Inside a tile, partial sums that differ in one bit of
// their column are added, bit after bit in the order 7 6 5 4 3 0 2 1 (SumTile of softmax_tiles.h).
inline constexpr int64_t kVocabTile = 256;
// Integer masses for top-p and the choice of a token: exp(z - m) * 2^40, rounded.
inline constexpr double kMassScale = 1099511627776.0;
// Gradient norm: squares are summed in double in blocks of 4,096 elements, then the blocks' sums
// from left to right.
inline constexpr int64_t kNormBlock = 4096;
// Renormalisation of router weights divides by (sum + this).
inline constexpr float kRouterEps = 1e-20f;

// exp for -87 <= x <= 88, exactly 0 below: n = round(x / ln 2) by adding and subtracting 12582912,
// two-step reduction, degree-7 polynomial. Relative error up to 8.4e-8.
inline constexpr float kExpLowest = -87.0f;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kRounder = 12582912.0f;
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
constexpr float kExpPoly[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                               4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
// log of a positive normal number: mantissa in [sqrt(1/2), sqrt 2). Relative error up to 8.2e-8.
inline constexpr uint32_t kSqrtHalfBits = 0x3f3504f3u;
constexpr float kLogPoly[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                               -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                               2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};

}  // namespace grouper::numerics
