#include "kernels/embed/embedding.h"

#include "kernels/dispatch.h"

namespace grouper {
namespace {

void CheckIds(const char* what, const Tensor& ids, int64_t rows) {
  const int32_t* id = ids.as<int32_t>();
  for (int64_t i = 0; i < ids.elements(); ++i) {
    CHECK(id[i] >= 0 && id[i] < rows, std::string(what) + " holds an id outside the table",
          Named("id", id[i]), Named("rows", rows));
  }
}

}  // namespace

void Embedding(Stream& stream, const EmbeddingArgs& args) {
  CheckReal("[embedding] table", args.table);
  const int64_t tokens = args.ids.dim(0), width = args.table.dim(1);
  CheckVector("[embedding] ids", args.ids, DType::kInt32, tokens);
  CheckMatrix("[embedding] table", args.table, args.table.dtype, -1, width);
  CheckMatrix("[embedding] out", args.out, args.table.dtype, tokens, width);
  CheckIds("[embedding] ids", args.ids, args.table.dim(0));
  GROUPER_DISPATCH(Embedding, stream, args, args.table.dtype);
}

void EmbeddingBackward(Stream& stream, const EmbeddingBackwardArgs& args) {
  CheckReal("[embedding_backward] dout", args.dout);
  const int64_t tokens = args.ids.dim(0), width = args.dout.dim(1);
  CheckVector("[embedding_backward] ids", args.ids, DType::kInt32, tokens);
  CheckMatrix("[embedding_backward] dout", args.dout, args.dout.dtype, tokens, width);
  CheckMatrix("[embedding_backward] dtable", args.dtable, args.dout.dtype, -1, width);
  CheckIds("[embedding_backward] ids", args.ids, args.dtable.dim(0));
  GROUPER_DISPATCH(EmbeddingBackward, stream, args, args.dout.dtype);
}

}  // namespace grouper
