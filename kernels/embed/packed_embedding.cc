#include "kernels/embed/packed_embedding.h"

#include "kernels/cpu/check_values.h"
#include "kernels/dispatch.h"
#include "kernels/gemm/matmul.h"

namespace grouper {

using numerics::kPanelColumns;

void PackedEmbedding(Stream& stream, const PackedEmbeddingArgs& args) {
  CheckReal("[packed_embedding] table", args.table);
  const int64_t tokens = args.ids.dim(0), width = args.out.dim(1), vocab = args.table.dim(1);
  const int64_t packed[3] = {PackedPanels(width), vocab, kPanelColumns};
  CheckVector("[packed_embedding] ids", args.ids, DType::kInt32, tokens);
  CheckTensor("[packed_embedding] table", args.table, args.table.dtype, 3, packed);
  CheckMatrix("[packed_embedding] out", args.out, args.table.dtype, tokens, width);
  GROUPER_DISPATCH(PackedEmbedding, stream, args, args.table.dtype,
                   cpu::CheckIds("[packed_embedding] ids", args.ids, vocab));
}

void PackedEmbeddingBackward(Stream& stream, const PackedEmbeddingBackwardArgs& args) {
  CheckReal("[packed_embedding_backward] dout", args.dout);
  const int64_t tokens = args.ids.dim(0), width = args.dout.dim(1);
  const int64_t packed[3] = {-1, width, kPanelColumns};
  CheckVector("[packed_embedding_backward] ids", args.ids, DType::kInt32, tokens);
  CheckMatrix("[packed_embedding_backward] dout", args.dout, args.dout.dtype, tokens, width);
  CheckTensor("[packed_embedding_backward] dtable", args.dtable, args.dout.dtype, 3, packed);
  GROUPER_DISPATCH(PackedEmbeddingBackward, stream, args, args.dout.dtype);
}

}  // namespace grouper
