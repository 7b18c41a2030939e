// exp and log on lanes. Every fused multiply-add is explicit, so all fp32 forms give the same bits.
// The fp64 form calls libm, since it is only compared within tolerances. The polynomials are in
// numerics.h, their errors in docs/numerics.md 6.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {

// exp(x) for x <= 88; exactly 0 below -87; exp(0) = 1. NaN gives NaN, so that a bad score cannot be
// mistaken for a small one.
GROUPER_INLINE Lanes Exp(Lanes x) {
#if defined(GROUPER_FORM_FP64)
  Lanes r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = ::exp(x.v[i]);
  return r;
#else
  namespace num = ::grouper::numerics;
  const Lanes lowest = Set(num::kExpLowest);
  const Mask tiny = Less(x, lowest);
  const Lanes y = Max(lowest, x);  // in this order: a NaN stays
  const Lanes n = Sub(Fma(y, Set(num::kLog2E), Set(num::kRounder)), Set(num::kRounder));
  Lanes r = Fma(n, Set(-num::kLn2High), y);
  r = Fma(n, Set(-num::kLn2Low), r);
  Lanes p = Fma(Set(num::kExpPoly[0]), r, Set(num::kExpPoly[1]));
  for (int i = 2; i < 6; ++i) p = Fma(p, r, Set(num::kExpPoly[i]));
  p = Add(Fma(Mul(r, r), p, r), Set(1.0f));
#if defined(GROUPER_FORM_AVX512)
  const __m512i shift = _mm512_slli_epi32(_mm512_cvttps_epi32(n.v), 23);
  p.v = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.v), shift));
#elif defined(GROUPER_FORM_AVX2)
  const __m256i lo = _mm256_slli_epi32(_mm256_cvttps_epi32(n.lo), 23);
  const __m256i hi = _mm256_slli_epi32(_mm256_cvttps_epi32(n.hi), 23);
  p.lo = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.lo), lo));
  p.hi = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.hi), hi));
#else
  for (int i = 0; i < kLanes; ++i) {
    uint32_t bits;
    memcpy(&bits, &p.v[i], 4);
    // The cast is defined for numbers only; a NaN keeps its bits.
    if (n.v[i] == n.v[i]) bits += static_cast<uint32_t>(static_cast<int32_t>(n.v[i])) << 23;
    memcpy(&p.v[i], &bits, 4);
  }
#endif
  return Select(tiny, Zero(), p);
#endif
}

// log of a positive normal number; log(1) = 0.
GROUPER_INLINE Lanes Log(Lanes x) {
#if defined(GROUPER_FORM_FP64)
  Lanes r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = ::log(x.v[i]);
  return r;
#else
  namespace num = ::grouper::numerics;
  Lanes n, m;
#if defined(GROUPER_FORM_AVX512)
  const __m512i u = _mm512_castps_si512(x.v);
  const __m512i e =
      _mm512_srai_epi32(_mm512_sub_epi32(u, _mm512_set1_epi32(num::kSqrtHalfBits)), 23);
  n.v = _mm512_cvtepi32_ps(e);
  m.v = _mm512_castsi512_ps(_mm512_sub_epi32(u, _mm512_slli_epi32(e, 23)));
#elif defined(GROUPER_FORM_AVX2)
  const __m256i half = _mm256_set1_epi32(num::kSqrtHalfBits);
  const __m256i ul = _mm256_castps_si256(x.lo), uh = _mm256_castps_si256(x.hi);
  const __m256i el = _mm256_srai_epi32(_mm256_sub_epi32(ul, half), 23);
  const __m256i eh = _mm256_srai_epi32(_mm256_sub_epi32(uh, half), 23);
  n = {_mm256_cvtepi32_ps(el), _mm256_cvtepi32_ps(eh)};
  m = {_mm256_castsi256_ps(_mm256_sub_epi32(ul, _mm256_slli_epi32(el, 23))),
       _mm256_castsi256_ps(_mm256_sub_epi32(uh, _mm256_slli_epi32(eh, 23)))};
#else
  for (int i = 0; i < kLanes; ++i) {
    uint32_t u;
    memcpy(&u, &x.v[i], 4);
    const int32_t e = static_cast<int32_t>(u - num::kSqrtHalfBits) >> 23;
    u -= static_cast<uint32_t>(e) << 23;
    n.v[i] = static_cast<float>(e);
    memcpy(&m.v[i], &u, 4);
  }
#endif
  const Lanes f = Sub(m, Set(1.0f));
  const Lanes z = Mul(f, f);
  Lanes p = Fma(Set(num::kLogPoly[0]), f, Set(num::kLogPoly[1]));
  for (int i = 2; i < 9; ++i) p = Fma(p, f, Set(num::kLogPoly[i]));
  Lanes y = Fma(n, Set(num::kLn2Low), Mul(Mul(p, f), z));
  y = Fma(z, Set(-0.5f), y);
  return Fma(n, Set(num::kLn2High), Add(f, y));
#endif
}

// 1 / (1 + e) for x >= 0, e / (1 + e) below, e = exp(-|x|): the argument of exp is never positive.
GROUPER_INLINE Lanes Sigmoid(Lanes x) {
  const Mask negative = Less(x, Zero());
  const Lanes flipped = Sub(Zero(), x);
  const Lanes e = Exp(Select(negative, x, flipped));
  const Lanes one = Set(1);
  return Div(Select(negative, e, one), Add(one, e));
}

GROUPER_INLINE real ExpReal(real x) {
  real r[kLanes];
  Store(r, Exp(Set(x)));
  return r[0];
}
GROUPER_INLINE real LogReal(real x) {
  real r[kLanes];
  Store(r, Log(Set(x)));
  return r[0];
}

}  // namespace grouper::cpu::GROUPER_VARIANT
