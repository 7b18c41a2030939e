#include "kernels/embed/rope.h"

#include "kernels/dispatch.h"

namespace grouper {

void Rope(Stream& stream, const RopeArgs& args) {
  CheckReal("[rope] x", args.x);
  const int64_t tokens = args.x.dim(0);
  CHECK(args.head_dim >= 2 && args.head_dim % 2 == 0 && args.x.dim(1) % args.head_dim == 0,
        "[rope] head_dim must be even and divide the width", Named("head_dim", args.head_dim),
        Named("width", args.x.dim(1)));
  CheckVector("[rope] positions", args.positions, DType::kInt32, tokens);
  CheckMatrix("[rope] cos", args.cos, args.x.dtype, -1, args.head_dim / 2);
  CheckMatrix("[rope] sin", args.sin, args.x.dtype, args.cos.dim(0), args.head_dim / 2);
  const int32_t* position = args.positions.as<int32_t>();
  for (int64_t t = 0; t < tokens; ++t) {
    CHECK(position[t] >= 0 && position[t] < args.cos.dim(0),
          "[rope] a position is outside the table", Named("position", position[t]),
          Named("positions", args.cos.dim(0)));
  }
  GROUPER_DISPATCH(Rope, stream, args, args.x.dtype);
}

}  // namespace grouper
