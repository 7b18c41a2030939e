#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embed/embedding.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {
constexpr int64_t kTokenGrain = 256;
constexpr int64_t kColumnGrain = 32;
}  // namespace

void Embedding(Stream& stream, const EmbeddingArgs& args) {
  const int64_t width = args.table.shape[1];
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelRows(stream, args.ids.shape[0], kTokenGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      memcpy(args.out.as<real>() + t * args.out.row_stride,
             args.table.as<real>() + ids[t] * args.table.row_stride,
             static_cast<size_t>(width) * sizeof(real));
    }
  });
}

void EmbeddingBackward(Stream& stream, const EmbeddingBackwardArgs& args) {
  const int64_t width = args.dout.shape[1], tokens = args.ids.shape[0];
  const int32_t* ids = args.ids.as<int32_t>();
  ParallelFor(stream, (width + kColumnGrain - 1) / kColumnGrain, [&](int64_t block) {
    const int64_t first = block * kColumnGrain;
    const int64_t last = first + kColumnGrain < width ? first + kColumnGrain : width;
    for (int64_t t = 0; t < tokens; ++t) {
      real* to = args.dtable.as<real>() + ids[t] * args.dtable.row_stride;
      const real* from = args.dout.as<real>() + t * args.dout.row_stride;
      for (int64_t i = first; i < last; i += kLanes) {
        const int64_t n = last - i;
        StoreFirst(to + i, Add(LoadFirst(to + i, n), LoadFirst(from + i, n)), n);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
