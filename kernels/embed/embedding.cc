#include "kernels/embed/embedding.h"

#include "kernels/cpu/check_values.h"
#include "kernels/dispatch.h"

namespace grouper {

void Embedding(Stream& stream, const EmbeddingArgs& args) {
  CheckReal("[embedding] table", args.table);
  const int64_t tokens = args.ids.dim(0), width = args.table.dim(1);
  CheckVector("[embedding] ids", args.ids, DType::kInt32, tokens);
  CheckMatrix("[embedding] table", args.table, args.table.dtype, -1, width);
  CheckMatrix("[embedding] out", args.out, args.table.dtype, tokens, width);
  GROUPER_DISPATCH(Embedding, stream, args, args.table.dtype,
                   cpu::CheckIds("[embedding] ids", args.ids, args.table.dim(0)));
}

void EmbeddingBackward(Stream& stream, const EmbeddingBackwardArgs& args) {
  CheckReal("[embedding_backward] dout", args.dout);
  const int64_t tokens = args.ids.dim(0), width = args.dout.dim(1);
  CheckVector("[embedding_backward] ids", args.ids, DType::kInt32, tokens);
  CheckMatrix("[embedding_backward] dout", args.dout, args.dout.dtype, tokens, width);
  CheckMatrix("[embedding_backward] dtable", args.dtable, args.dout.dtype, -1, width);
  GROUPER_DISPATCH(EmbeddingBackward, stream, args, args.dout.dtype,
                   cpu::CheckIds("[embedding_backward] ids", args.ids, args.dtable.dim(0)));
}

}  // namespace grouper
