#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embed/packed_embedding.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {
using numerics::kPanelColumns;
constexpr int64_t kTokenGrain = 256;
constexpr int64_t kRowGrain = 64;
}  // namespace

void PackedEmbedding(Stream& stream, const PackedEmbeddingArgs& args) {
  const int64_t width = args.out.shape[1], vocab = args.table.shape[1];
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelRows(stream, args.ids.shape[0], kTokenGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      real* out = args.out.as<real>() + t * args.out.row_stride;
      const real* piece = args.table.as<real>() + ids[t] * kPanelColumns;
      for (int64_t i = 0; i < width; i += kPanelColumns, piece += vocab * kPanelColumns) {
        memcpy(out + i, piece,
               static_cast<size_t>(width - i < kPanelColumns ? width - i : kPanelColumns) *
                   sizeof(real));
      }
    }
  });
}

void PackedEmbeddingBackward(Stream& stream, const PackedEmbeddingBackwardArgs& args) {
  const int64_t width = args.dout.shape[1], tokens = args.ids.shape[0];
  const int64_t columns = args.dtable.shape[0] * kPanelColumns;
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelRows(stream, width, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t column = ids[t] - args.first_id;
      if (column < 0 || column >= columns) continue;
      real* to = args.dtable.as<real>() + column / kPanelColumns * width * kPanelColumns +
                 column % kPanelColumns;
      const real* from = args.dout.as<real>() + t * args.dout.row_stride;
      for (int64_t i = begin; i < end; ++i) to[i * kPanelColumns] = to[i * kPanelColumns] + from[i];
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
