#include "kernels/act/swiglu.h"

#include "kernels/dispatch.h"

namespace grouper {

void Swiglu(Stream& stream, const SwigluArgs& args) {
  CheckReal("[swiglu] gate_up", args.gate_up);
  const int64_t rows = args.out.dim(0), width = args.out.dim(1);
  CheckMatrix("[swiglu] gate_up", args.gate_up, args.gate_up.dtype, rows, 2 * width);
  CheckMatrix("[swiglu] out", args.out, args.gate_up.dtype, rows, width);
  GROUPER_DISPATCH(Swiglu, stream, args, args.gate_up.dtype);
}

void SwigluBackward(Stream& stream, const SwigluBackwardArgs& args) {
  CheckReal("[swiglu_backward] gate_up", args.gate_up);
  const int64_t rows = args.dout.dim(0), width = args.dout.dim(1);
  CheckMatrix("[swiglu_backward] gate_up", args.gate_up, args.gate_up.dtype, rows, 2 * width);
  CheckMatrix("[swiglu_backward] dout", args.dout, args.gate_up.dtype, rows, width);
  CheckMatrix("[swiglu_backward] dgate_up", args.dgate_up, args.gate_up.dtype, rows, 2 * width);
  GROUPER_DISPATCH(SwigluBackward, stream, args, args.gate_up.dtype);
}

}  // namespace grouper
