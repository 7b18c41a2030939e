// Transposes a 16 x 16 matrix, sixteen Lanes, in registers. It moves bits and computes nothing.
#pragma once

#include "kernels/cpu/lanes.h"

namespace grouper::cpu::GROUPER_VARIANT {

#if defined(GROUPER_FORM_AVX2)
GROUPER_INLINE void Transpose8(HalfLanes (&x)[8]) {
  HalfLanes a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
  for (int c = 0; c < 4; ++c) {
    x[c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x20);
    x[4 + c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x31);
  }
}
#endif
// x[i] lane j becomes x[j] lane i.
GROUPER_INLINE void Transpose(Lanes (&x)[kLanes]) {
#if defined(GROUPER_FORM_AVX512)
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(x[i].v, x[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(x[i].v, x[i + 1].v);
  }
  // b[4q + c]: rows 4q .. 4q + 3 of columns c, c + 4, c + 8, c + 12, four floats each.
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512 p = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88);
    const __m512 q = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xDD);
    const __m512 r = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
    const __m512 s = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xDD);
    x[c].v = _mm512_shuffle_f32x4(p, r, 0x88);
    x[4 + c].v = _mm512_shuffle_f32x4(q, s, 0x88);
    x[8 + c].v = _mm512_shuffle_f32x4(p, r, 0xDD);
    x[12 + c].v = _mm512_shuffle_f32x4(q, s, 0xDD);
  }
#elif defined(GROUPER_FORM_AVX2)
  HalfLanes upper_left[8], upper_right[8], lower_left[8], lower_right[8];
  for (int i = 0; i < 8; ++i) {
    upper_left[i] = x[i].lo;
    upper_right[i] = x[i].hi;
    lower_left[i] = x[i + 8].lo;
    lower_right[i] = x[i + 8].hi;
  }
  Transpose8(upper_left);
  Transpose8(upper_right);
  Transpose8(lower_left);
  Transpose8(lower_right);
  for (int i = 0; i < 8; ++i) {
    x[i] = {upper_left[i], lower_left[i]};
    x[i + 8] = {upper_right[i], lower_right[i]};
  }
#else
  for (int i = 0; i < kLanes; ++i) {
    for (int j = i + 1; j < kLanes; ++j) {
      const real swapped = x[i].v[j];
      x[i].v[j] = x[j].v[i];
      x[j].v[i] = swapped;
    }
  }
#endif
}

// to[j][i] = from[i][j] for i < rows, j < columns, by blocks of 16 x 16; elements outside are
// neither read nor written.
GROUPER_INLINE void TransposeInto(const real* from, int64_t from_stride, int64_t rows,
                                  int64_t columns, real* to, int64_t to_stride) {
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int64_t height = rows - i < kLanes ? rows - i : kLanes;
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int64_t width = columns - j < kLanes ? columns - j : kLanes;
      Lanes x[kLanes];
      for (int k = 0; k < kLanes; ++k) {
        x[k] = k < height ? LoadFirst(from + (i + k) * from_stride + j, width) : Zero();
      }
      Transpose(x);
      for (int k = 0; k < kLanes && k < width; ++k) {
        StoreFirst(to + (j + k) * to_stride + i, x[k], height);
      }
    }
  }
}

}  // namespace grouper::cpu::GROUPER_VARIANT
