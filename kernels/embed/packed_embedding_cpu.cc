#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embed/packed_embedding.h"

namespace grouper::cpu::GROUPER_VARIANT {

void PackedEmbedding(Stream& stream, const PackedEmbeddingArgs& args) {
  const int64_t width = args.out.shape[1], vocab = args.table.shape[1];
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelRows(stream, args.ids.shape[0], 256, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      real* out = args.out.as<real>() + t * args.out.row_stride;
      const real* piece = args.table.as<real>() + ids[t] * 32;
      for (int64_t i = 0; i < width; i += 32, piece += vocab * 32) {
        memcpy(out + i, piece, static_cast<size_t>(width - i < 32 ? width - i : 32) * sizeof(real));
      }
    }
  });
}

void PackedEmbeddingBackward(Stream& stream, const PackedEmbeddingBackwardArgs& args) {
  const int64_t width = args.dout.shape[1], tokens = args.ids.shape[0];
  const int64_t columns = args.dtable.shape[0] * 32;
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelRows(stream, width, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t column = ids[t] - args.first_id;
      if (column < 0 || column >= columns) continue;
      real* to = args.dtable.as<real>() + column / 32 * width * 32 + column % 32;
      const real* from = args.dout.as<real>() + t * args.dout.row_stride;
      for (int64_t i = begin; i < end; ++i) to[i * 32] = to[i * 32] + from[i];
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
