#include "kernels/norm/rms_norm.h"

#include "kernels/dispatch.h"

namespace grouper {

void RmsNorm(Stream& stream, const RmsNormArgs& args) {
  CheckReal("[rms_norm] x", args.x);
  const int64_t tokens = args.x.dim(0), width = args.x.dim(1);
  CheckMatrix("[rms_norm] x", args.x, args.x.dtype, tokens, width);
  CheckVector("[rms_norm] gain", args.gain, args.x.dtype, width);
  CheckMatrix("[rms_norm] out", args.out, args.x.dtype, tokens, width);
  GROUPER_DISPATCH(RmsNorm, stream, args, args.x.dtype);
}

void RmsNormBackward(Stream& stream, const RmsNormBackwardArgs& args) {
  CheckReal("[rms_norm_backward] x", args.x);
  const int64_t tokens = args.x.dim(0), width = args.x.dim(1);
  CheckMatrix("[rms_norm_backward] x", args.x, args.x.dtype, tokens, width);
  CheckVector("[rms_norm_backward] gain", args.gain, args.x.dtype, width);
  CheckMatrix("[rms_norm_backward] dy", args.dy, args.x.dtype, tokens, width);
  CheckMatrix("[rms_norm_backward] dx", args.dx, args.x.dtype, tokens, width);
  CheckVector("[rms_norm_backward] dgain", args.dgain, args.x.dtype, width);
  CheckVector("[rms_norm_backward] inv", args.inv, args.x.dtype, tokens);
  GROUPER_DISPATCH(RmsNormBackward, stream, args, args.x.dtype);
}

}  // namespace grouper
