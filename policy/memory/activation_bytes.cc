#include "policy/memory/activation_bytes.h"

#include <algorithm>
#include <initializer_list>

#include "kernels/attention/attention.h"
#include "kernels/memory.h"

namespace grouper {
namespace {

int64_t Piece(int64_t elements, int64_t size) {
  return static_cast<int64_t>(Arena::PieceBytes(static_cast<size_t>(elements * size)));
}

// Sizes of pieces for a number of tokens.
struct Pieces {
  const PolicyConfig& config;
  int64_t size;  // of a real number
  int64_t tokens;

  int64_t Rows(int64_t rows, std::initializer_list<int64_t> widths) const {
    int64_t bytes = 0;
    for (int64_t width : widths) bytes += Piece(rows * width, size);
    return bytes;
  }
  int64_t Tokens(std::initializer_list<int64_t> widths) const { return Rows(tokens, widths); }

  int64_t AttentionForward(bool keep) const {
    const int64_t d = config.width(), q = QueryWidth(config);
    return Tokens({d, QkvWidth(config), q, d}) +
           (keep ? Tokens({2 * config.attention().heads()}) : 0);
  }
  int64_t AttentionBackward() const {
    return Tokens({QueryWidth(config), QkvWidth(config), config.width(), 1});
  }

  int64_t FeedForwardForward(bool mixture) const {
    const int64_t d = config.width();
    if (!mixture) return Tokens({d, 2 * config.dense_width(), config.dense_width()});
    const MoeConfig& moe = config.moe();
    const int64_t k = moe.experts_per_token(), shared = moe.shared_width();
    const int64_t plan = Piece(moe.experts() + 1, 4) + Piece(tokens * k, 4) + Piece(tokens * k, 4);
    return Tokens({d, moe.experts(), k}) + plan +
           Rows(tokens * k, {2 * moe.width(), moe.width(), d}) +
           (shared > 0 ? Tokens({d, 2 * shared, shared}) : 0);
  }
  int64_t FeedForwardBackward(bool mixture) const {
    const int64_t d = config.width();
    if (!mixture) return Tokens({d, config.dense_width(), 2 * config.dense_width(), 1});
    const MoeConfig& moe = config.moe();
    const int64_t k = moe.experts_per_token(), shared = moe.shared_width();
    return Tokens({d, k, moe.experts(), 1}) + Rows(tokens * k, {d, moe.width(), 2 * moe.width()}) +
           (shared > 0 ? Tokens({shared, 2 * shared}) : 0);
  }
};

}  // namespace

int64_t MostAttentionScratch(const PolicyConfig& config, int64_t threads, int64_t tokens,
                             int64_t longest) {
  const AttentionConfig& a = config.attention();
  int64_t most = 0;
  // With two tokens a thread there are tasks enough without scratch.
  for (int64_t t = 1; t <= std::min(tokens, 2 * threads); ++t) {
    most = std::max(most,
                    AttentionScratch(threads, t, longest, a.heads(), a.kv_heads(), a.head_dim()));
  }
  return most;
}

ActivationBytes ActivationBytesOf(const PolicyConfig& config, DType dtype, const PassShape& shape) {
  const Pieces pieces{config, static_cast<int64_t>(SizeOf(dtype)), shape.tokens};
  const int64_t d = config.width();
  int64_t lasting = MoeLayers(config) * Piece(shape.tokens * config.moe().experts_per_token(), 4) +
                    pieces.Tokens({d});
  int64_t interior = 0, scratch = 0;
  const int64_t splits =
      shape.attention_scratch > 0 ? Piece(shape.attention_scratch, pieces.size) : 0;
  for (int64_t i = 0; i < config.layers(); ++i) {
    const bool mixture = IsMoeLayer(config, i);
    const int64_t attention = pieces.AttentionForward(shape.keep);
    const int64_t layer = attention + pieces.FeedForwardForward(mixture);
    if (shape.keep) {
      lasting += pieces.Tokens({d}) + layer;
    } else {
      interior = std::max({interior, layer, attention + splits});
    }
    scratch = std::max({scratch, pieces.AttentionBackward(), pieces.FeedForwardBackward(mixture)});
  }
  ActivationBytes bytes;
  bytes.logits = pieces.Rows(shape.logit_rows, {d, d, config.vocab_size()});
  if (shape.keep) {
    const int64_t backward =
        pieces.Tokens({d}) + pieces.Rows(shape.logit_rows, {d, d, 1}) + scratch;
    bytes.total = lasting + std::max(bytes.logits + backward, splits);
  } else {
    // The last layer returns its interior to the arena before the head runs.
    bytes.total = lasting + pieces.Tokens({d}) + std::max(interior, bytes.logits);
  }
  return bytes;
}

}  // namespace grouper
