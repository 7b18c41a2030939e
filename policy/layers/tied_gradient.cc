#include "policy/layers/tied_gradient.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/embed/packed_embedding.h"
#include "kernels/gemm/matmul.h"
#include "kernels/numerics.h"

namespace grouper {
namespace {

// Bytes of one part's gradient: half of a core's L2 cache, so that it stays there for all
// sequences.
constexpr int64_t kPartBytes = 512 * 1024;

}  // namespace

void TiedGradient(Stream& stream, const TiedGradientArgs& args) {
  const int64_t panels = args.grad.dim(0), width = args.grad.dim(1), vocab = args.dlogits.dim(1);
  constexpr int64_t kColumns = numerics::kPanelColumns;
  const int64_t panel_bytes = width * kColumns * static_cast<int64_t>(SizeOf(args.grad.dtype));
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  // A few parts per thread, if there are enough panels.
  const int64_t panels_per_part =
      std::max<int64_t>(1, std::min(kPartBytes / panel_bytes, panels / (4 * threads)));
  const int64_t parts = (panels + panels_per_part - 1) / panels_per_part;
  const int64_t sequences = args.sequence_offsets.dim(0) - 1;
  const int32_t* offsets = args.sequence_offsets.as<int32_t>();
  const int32_t* logit_rows = args.logit_rows.as<int32_t>();
  const int64_t all_rows = args.logit_rows.dim(0);
  cpu::ParallelFor(stream, parts, [&](int64_t part) {
    Stream serial{stream.isa, nullptr};
    const int64_t first = part * panels_per_part;
    const int64_t count = std::min(panels_per_part, panels - first);
    const int64_t first_id = first * kColumns;
    const int64_t ids = std::min(count * kColumns, vocab - first_id);
    const Tensor grad = args.grad.Rows(first, count);
    int64_t row = 0;
    for (int64_t s = 0; s < sequences; ++s) {
      int64_t end = row;
      while (end < all_rows && logit_rows[end] < offsets[s + 1]) ++end;
      if (end > row) {
        MatmulWeightGrad(serial, {.x = args.normed.Rows(row, end - row),
                                  .dy = args.dlogits.Rows(row, end - row).Columns(first_id, ids),
                                  .grad = grad});
      }
      row = end;
      const int64_t begin = offsets[s], tokens = offsets[s + 1] - begin;
      PackedEmbeddingBackward(serial, {.ids = args.ids.Rows(begin, tokens),
                                       .dout = args.dx.Rows(begin, tokens),
                                       .dtable = grad,
                                       .first_id = first_id});
    }
  });
}

}  // namespace grouper
