// How an operator is declared. `x.h` has an args struct XArgs and GROUPER_OP(X); `x.cc` checks the
// shapes and dispatches (kernels/dispatch.h); `x_cpu.cc` is compiled per instruction set and
// defines X in namespace cpu::GROUPER_VARIANT (kernels/cpu/lanes.h).
#pragma once

#include "kernels/stream.h"
#include "kernels/tensor.h"

// The fp64 form is linked into tests only. Elsewhere its functions are weak and null, which the
// dispatch checks.
#ifdef GROUPER_FORM_FP64
#define GROUPER_ONLY_IN_TESTS
#else
#define GROUPER_ONLY_IN_TESTS [[gnu::weak]]
#endif

#define GROUPER_OP(Name)                                                  \
  void Name(::grouper::Stream& stream, const Name##Args& args);           \
  namespace cpu {                                                         \
  namespace avx512 {                                                      \
  void Name(::grouper::Stream&, const Name##Args&);                       \
  }                                                                       \
  namespace avx2 {                                                        \
  void Name(::grouper::Stream&, const Name##Args&);                       \
  }                                                                       \
  namespace scalar {                                                      \
  void Name(::grouper::Stream&, const Name##Args&);                       \
  }                                                                       \
  namespace fp64 {                                                        \
  GROUPER_ONLY_IN_TESTS void Name(::grouper::Stream&, const Name##Args&); \
  }                                                                       \
  }
