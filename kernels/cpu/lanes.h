// Lanes: sixteen numbers that are added, multiplied and compared together. The type has three
// forms: one AVX-512 register, two AVX2 registers, or an array. Each source of kernels, x_cpu.cc,
// is compiled once per form by grouper_cpu_kernels(): GROUPER_VARIANT is avx512, avx2, scalar, or
// fp64 (the array form on double). All fp32 forms give the same bits, because every operation here
// is IEEE and rounds once, and every fused multiply-add is written out.
//
// Everything lives in namespace cpu::GROUPER_VARIANT and is forced inline, so that the linker
// cannot use code of one instruction set in another. For the same reason files that include this
// header use no std templates; check_symbols.sh of the tests checks it.
#pragma once

#ifndef GROUPER_VARIANT
#error "compile kernels through grouper_cpu_kernels(): GROUPER_VARIANT names the form"
#endif

#if defined(GROUPER_FORM_AVX512) || defined(GROUPER_FORM_AVX2)
#include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/numerics.h"
#include "kernels/tensor.h"

namespace grouper::cpu::GROUPER_VARIANT {

inline constexpr int kLanes = 16;

#if defined(GROUPER_FORM_FP64)
using real = double;
inline constexpr DType kReal = DType::kFloat64;
#else
using real = float;
inline constexpr DType kReal = DType::kFloat32;
#endif

#if defined(GROUPER_FORM_AVX512)

struct Lanes {
  __m512 v;
};
struct Mask {
  __mmask16 m;
};

GROUPER_INLINE Lanes Zero() { return {_mm512_setzero_ps()}; }
GROUPER_INLINE Lanes Set(real x) { return {_mm512_set1_ps(x)}; }
GROUPER_INLINE Lanes Load(const real* p) { return {_mm512_loadu_ps(p)}; }
GROUPER_INLINE void Store(real* p, Lanes a) { _mm512_storeu_ps(p, a.v); }
GROUPER_INLINE __mmask16 FirstBits(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}
// Lanes 0 .. n - 1 from memory, the others +0. No memory past them is touched. Any n >= 0; from 16
// on all lanes.
GROUPER_INLINE Lanes LoadFirst(const real* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(FirstBits(n), p)};
}
GROUPER_INLINE void StoreFirst(real* p, Lanes a, int64_t n) {
  _mm512_mask_storeu_ps(p, FirstBits(n), a.v);
}
GROUPER_INLINE Lanes Add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
GROUPER_INLINE Lanes Sub(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
GROUPER_INLINE Lanes Mul(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
GROUPER_INLINE Lanes Div(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
GROUPER_INLINE Lanes Sqrt(Lanes a) { return {_mm512_sqrt_ps(a.v)}; }
// a * b + c, one rounding.
GROUPER_INLINE Lanes Fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a > b ? a : b, so a NaN in a gives b and a NaN in b gives b.
GROUPER_INLINE Lanes Max(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
GROUPER_INLINE Lanes Min(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
GROUPER_INLINE Mask Less(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
GROUPER_INLINE Mask Equal(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
GROUPER_INLINE Mask FirstMask(int64_t n) { return {FirstBits(n)}; }
// mask ? a : b
GROUPER_INLINE Lanes Select(Mask mask, Lanes a, Lanes b) {
  return {_mm512_mask_blend_ps(mask.m, b.v, a.v)};
}
GROUPER_INLINE uint32_t Bits(Mask mask) { return mask.m; }
using HalfLanes = __m256;
GROUPER_INLINE HalfLanes LowHalf(Lanes a) { return _mm512_castps512_ps256(a.v); }
GROUPER_INLINE HalfLanes HighHalf(Lanes a) { return _mm512_extractf32x8_ps(a.v, 1); }

#elif defined(GROUPER_FORM_AVX2)

struct Lanes {
  __m256 lo, hi;
};
struct Mask {
  __m256 lo, hi;
};

GROUPER_INLINE Lanes Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
GROUPER_INLINE Lanes Set(real x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
GROUPER_INLINE Lanes Load(const real* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
GROUPER_INLINE void Store(real* p, Lanes a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
GROUPER_INLINE __m256i FirstBits8(int64_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
}
GROUPER_INLINE Lanes LoadFirst(const real* p, int64_t n) {
  if (n >= kLanes) return Load(p);
  if (n == 8) return {_mm256_loadu_ps(p), _mm256_setzero_ps()};
  return {_mm256_maskload_ps(p, FirstBits8(n)), _mm256_maskload_ps(p + 8, FirstBits8(n - 8))};
}
// A masked store is many times slower than whole ones on some processors: eight floats go at once,
// the rest of up to seven as four, two and one.
GROUPER_INLINE void StoreFirst(real* p, Lanes a, int64_t n) {
  if (n >= kLanes) {
    Store(p, a);
    return;
  }
  __m256 part = a.lo;
  if (n >= 8) {
    _mm256_storeu_ps(p, a.lo);
    part = a.hi;
    p += 8;
  }
  __m128 four = _mm256_castps256_ps128(part);
  if ((n & 4) != 0) {
    _mm_storeu_ps(p, four);
    four = _mm256_extractf128_ps(part, 1);
    p += 4;
  }
  if ((n & 2) != 0) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), four);
    four = _mm_movehl_ps(four, four);
    p += 2;
  }
  if ((n & 1) != 0) _mm_store_ss(p, four);
}
GROUPER_INLINE Lanes Add(Lanes a, Lanes b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
GROUPER_INLINE Lanes Sub(Lanes a, Lanes b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
GROUPER_INLINE Lanes Mul(Lanes a, Lanes b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
GROUPER_INLINE Lanes Div(Lanes a, Lanes b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
GROUPER_INLINE Lanes Sqrt(Lanes a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
GROUPER_INLINE Lanes Fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
GROUPER_INLINE Lanes Max(Lanes a, Lanes b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
GROUPER_INLINE Lanes Min(Lanes a, Lanes b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
GROUPER_INLINE Mask Less(Lanes a, Lanes b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
GROUPER_INLINE Mask Equal(Lanes a, Lanes b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
GROUPER_INLINE Mask FirstMask(int64_t n) {
  return {_mm256_castsi256_ps(FirstBits8(n)), _mm256_castsi256_ps(FirstBits8(n - 8))};
}
GROUPER_INLINE Lanes Select(Mask mask, Lanes a, Lanes b) {
  return {_mm256_blendv_ps(b.lo, a.lo, mask.lo), _mm256_blendv_ps(b.hi, a.hi, mask.hi)};
}
GROUPER_INLINE uint32_t Bits(Mask mask) {
  return static_cast<uint32_t>(_mm256_movemask_ps(mask.lo)) |
         static_cast<uint32_t>(_mm256_movemask_ps(mask.hi)) << 8;
}
using HalfLanes = __m256;
GROUPER_INLINE HalfLanes LowHalf(Lanes a) { return a.lo; }
GROUPER_INLINE HalfLanes HighHalf(Lanes a) { return a.hi; }

#else  // the array form, on float or double

struct Lanes {
  real v[kLanes];
};
struct Mask {
  bool m[kLanes];
};

#if defined(GROUPER_FORM_FP64)
// fp64 is compared within tolerances, not bit for bit: two roundings are good enough, and many
// times faster than libm's fma.
GROUPER_INLINE real FmaOne(real a, real b, real c) { return a * b + c; }
#else
// fmaf by way of double: the product is exact and the sum is rounded to odd, so the conversion to
// float is the only rounding that shows (Boldo and Melquiond 2008). The compiler can inline and
// vectorise this, which it cannot do with libm's fmaf.
GROUPER_INLINE real FmaOne(real a, real b, real c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c;
  double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  uint64_t bits;
  memcpy(&bits, &sum, 8);
  const bool inexact = error > 0 || error < 0;  // false for NaN
  const bool even = (bits & 1) == 0;
  const uint64_t step = (error > 0) == (sum > 0) ? uint64_t{1} : ~uint64_t{0};
  bits += inexact && even ? step : uint64_t{0};
  memcpy(&sum, &bits, 8);
  return static_cast<real>(sum);
}
#endif

#define GROUPER_EACH_LANE for (int i = 0; i < kLanes; ++i)
GROUPER_INLINE Lanes Set(real x) {
  Lanes r;
  GROUPER_EACH_LANE r.v[i] = x;
  return r;
}
GROUPER_INLINE Lanes Zero() { return Set(0); }
GROUPER_INLINE Lanes Load(const real* p) {
  Lanes r;
  GROUPER_EACH_LANE r.v[i] = p[i];
  return r;
}
GROUPER_INLINE void Store(real* p, Lanes a) { GROUPER_EACH_LANE p[i] = a.v[i]; }
GROUPER_INLINE Lanes LoadFirst(const real* p, int64_t n) {
  Lanes r;
  GROUPER_EACH_LANE r.v[i] = i < n ? p[i] : real{0};
  return r;
}
GROUPER_INLINE void StoreFirst(real* p, Lanes a, int64_t n) {
  for (int i = 0; i < kLanes && i < n; ++i) p[i] = a.v[i];
}
GROUPER_INLINE Lanes Add(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] += b.v[i];
  return a;
}
GROUPER_INLINE Lanes Sub(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] -= b.v[i];
  return a;
}
GROUPER_INLINE Lanes Mul(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] *= b.v[i];
  return a;
}
GROUPER_INLINE Lanes Div(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] /= b.v[i];
  return a;
}
GROUPER_INLINE Lanes Sqrt(Lanes a) {
#if defined(GROUPER_FORM_FP64)
  GROUPER_EACH_LANE a.v[i] = ::sqrt(a.v[i]);
#else
  GROUPER_EACH_LANE a.v[i] = __builtin_sqrtf(a.v[i]);
#endif
  return a;
}
GROUPER_INLINE Lanes Fma(Lanes a, Lanes b, Lanes c) {
  Lanes r;
  GROUPER_EACH_LANE r.v[i] = FmaOne(a.v[i], b.v[i], c.v[i]);
  return r;
}
GROUPER_INLINE Lanes Max(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
GROUPER_INLINE Lanes Min(Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
GROUPER_INLINE Mask Less(Lanes a, Lanes b) {
  Mask r;
  GROUPER_EACH_LANE r.m[i] = a.v[i] < b.v[i];
  return r;
}
GROUPER_INLINE Mask Equal(Lanes a, Lanes b) {
  Mask r;
  GROUPER_EACH_LANE r.m[i] = a.v[i] == b.v[i];
  return r;
}
GROUPER_INLINE Mask FirstMask(int64_t n) {
  Mask r;
  GROUPER_EACH_LANE r.m[i] = i < n;
  return r;
}
GROUPER_INLINE Lanes Select(Mask mask, Lanes a, Lanes b) {
  GROUPER_EACH_LANE a.v[i] = mask.m[i] ? a.v[i] : b.v[i];
  return a;
}
GROUPER_INLINE uint32_t Bits(Mask mask) {
  uint32_t bits = 0;
  GROUPER_EACH_LANE bits |= static_cast<uint32_t>(mask.m[i]) << i;
  return bits;
}

#endif

// ---- single numbers, with the arithmetic of one lane ----

GROUPER_INLINE real FmaReal(real a, real b, real c) {
#if defined(GROUPER_FORM_AVX512) || defined(GROUPER_FORM_AVX2)
  return __builtin_fmaf(a, b, c);
#else
  return FmaOne(a, b, c);
#endif
}
GROUPER_INLINE real SqrtReal(real a) {
#if defined(GROUPER_FORM_FP64)
  return ::sqrt(a);
#else
  return __builtin_sqrtf(a);
#endif
}

// ---- reductions in the fixed tree order ----

// The sum of all lanes by lane bits 3, 2, 1, 0: lane i and lane i + 8 are added first, then i and
// i + 4, and so on.
GROUPER_INLINE real SumTree(Lanes a) {
#if defined(GROUPER_FORM_AVX512) || defined(GROUPER_FORM_AVX2)
  const HalfLanes eight = _mm256_add_ps(LowHalf(a), HighHalf(a));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
  real x[kLanes];
  Store(x, a);
  for (int step = kLanes / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) x[i] = x[i] + x[i + step];
  }
  return x[0];
#endif
}
// The largest lane, and of equal ones the first (-0 and +0 are equal): neighbours are compared
// first, and the left one wins a tie.
GROUPER_INLINE real MaxOf(Lanes a) {
#if defined(GROUPER_FORM_AVX512) || defined(GROUPER_FORM_AVX2)
  HalfLanes lo = LowHalf(a), hi = HighHalf(a);
  lo = _mm256_max_ps(_mm256_permute_ps(lo, 0xB1), lo);
  hi = _mm256_max_ps(_mm256_permute_ps(hi, 0xB1), hi);
  lo = _mm256_max_ps(_mm256_permute_ps(lo, 0x4E), lo);
  hi = _mm256_max_ps(_mm256_permute_ps(hi, 0x4E), hi);
  const __m128 left = _mm_max_ps(_mm256_extractf128_ps(lo, 1), _mm256_castps256_ps128(lo));
  const __m128 right = _mm_max_ps(_mm256_extractf128_ps(hi, 1), _mm256_castps256_ps128(hi));
  return _mm_cvtss_f32(_mm_max_ss(right, left));
#else
  real x[kLanes];
  Store(x, a);
  for (int step = 1; step < kLanes; step *= 2) {
    for (int i = 0; i < kLanes; i += 2 * step) x[i] = x[i + step] > x[i] ? x[i + step] : x[i];
  }
  return x[0];
#endif
}

}  // namespace grouper::cpu::GROUPER_VARIANT
