// How an operator is declared. `x.h` has an args struct XArgs and GROUPER_OP(X); `x.cc` checks the
// shapes and dispatches (kernels/dispatch.h); `x_cpu.cc` is compiled per instruction set and
// defines X in namespace cpu::GROUPER_VARIANT (kernels/cpu/lanes.h).
#pragma once

#include "kernels/stream.h"
#include "kernels/tensor.h"

#define GROUPER_OP(Name)                                        \
  void Name(::grouper::Stream& stream, const Name##Args& args); \
  namespace cpu {                                               \
  namespace avx512 {                                            \
  void Name(::grouper::Stream&, const Name##Args&);             \
  }                                                             \
  namespace avx2 {                                              \
  void Name(::grouper::Stream&, const Name##Args&);             \
  }                                                             \
  namespace scalar {                                            \
  void Name(::grouper::Stream&, const Name##Args&);             \
  }                                                             \
  namespace fp64 {                                              \
  void Name(::grouper::Stream&, const Name##Args&);             \
  }                                                             \
  }
