// What an operator computes for a row depends on that row alone (docs/ARCHITECTURE.md,
// "Invariants"). Operators run on a row alone and in batches of 35 sizes at several shifts, with
// and without threads, and their bits are compared. The same tests of products are in
// matmul_test.cc, of routers in moe_test.cc, of attention in attention_test.cc.
#include <functional>

#include "kernels/act/swiglu.h"
#include "kernels/attention/attention.h"
#include "kernels/embed/embedding.h"
#include "kernels/embed/rope.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/sampling/sample_token.h"
#include "kernels/sampling/token_log_probs.h"
#include "tests/testing/packing.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;

constexpr DType kF = DType::kFloat32;
constexpr int64_t kMost = 1024;

// The outputs of rows [shift, shift + rows).
using Run = std::function<std::vector<Owned>(Stream& stream, int64_t shift, int64_t rows)>;

void ExpectRowsAlone(const Run& run) {
  Stream best = BestStream();
  const std::vector<Owned> all = run(best, 0, kMost);
  cpu::ThreadPool pool(2);
  Stream threaded{cpu::AvailableIsas().front(), &pool};
  for (int64_t rows :
       {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,  14,  15,  16,  17,  31,
        32, 33, 47, 48, 63, 64, 65, 66, 96, 127, 128, 129, 255, 256, 257, 512, 1024}) {
    for (int64_t shift : {int64_t{0}, std::min<int64_t>(5, kMost - rows), kMost - rows}) {
      for (Stream* stream : {&best, &threaded}) {
        const std::vector<Owned> part = run(*stream, shift, rows);
        for (size_t i = 0; i < part.size(); ++i) {
          ASSERT_EQ(0, std::memcmp(part[i].view.data, all[i].view.Rows(shift, rows).data,
                                   part[i].bytes()))
              << rows << " rows from " << shift << ", output " << i;
        }
      }
    }
  }
}

TEST(RowInvariance, RmsNorm) {
  const Owned x = Normal(kF, {kMost, 72}, 1), gain = Normal(kF, {72}, 2),
              dy = Normal(kF, {kMost, 72}, 3), into = Normal(kF, {kMost, 72}, 4);
  ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
    Owned y(kF, {rows, 72}), dx(kF, {rows, 72}), dgain(kF, {72}), inv(kF, {rows});
    std::memcpy(dx.view.data, into.view.Rows(shift, rows).data, dx.bytes());
    RmsNorm(stream, {.x = x.view.Rows(shift, rows), .gain = gain, .out = y});
    RmsNormBackward(stream, {.x = x.view.Rows(shift, rows),
                             .gain = gain,
                             .dy = dy.view.Rows(shift, rows),
                             .dx = dx,
                             .dgain = dgain,
                             .inv = inv});
    return std::vector<Owned>{y, dx};
  });
}

TEST(RowInvariance, Swiglu) {
  const Owned x = Normal(kF, {kMost, 50}, 5, 3), dout = Normal(kF, {kMost, 25}, 6);
  ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
    Owned y(kF, {rows, 25}), dx(kF, {rows, 50});
    Swiglu(stream, {.gate_up = x.view.Rows(shift, rows), .out = y});
    SwigluBackward(
        stream,
        {.gate_up = x.view.Rows(shift, rows), .dout = dout.view.Rows(shift, rows), .dgate_up = dx});
    return std::vector<Owned>{y, dx};
  });
}

TEST(RowInvariance, RopeAndEmbedding) {
  const Owned table = Normal(kF, {40, 36}, 7), cos = Normal(kF, {99, 6}, 8),
              sin = Normal(kF, {99, 6}, 9);
  Owned ids(DType::kInt32, {kMost}), positions(DType::kInt32, {kMost});
  for (int64_t t = 0; t < kMost; ++t) {
    ids.Put(t, static_cast<double>(t * 7 % 40));
    positions.Put(t, static_cast<double>(t * 5 % 99));
  }
  ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
    Owned x(kF, {rows, 36});
    Embedding(stream, {.ids = ids.view.Rows(shift, rows), .table = table, .out = x});
    Owned turned = x.Clone();
    Rope(stream, {.x = turned,
                  .positions = positions.view.Rows(shift, rows),
                  .cos = cos,
                  .sin = sin,
                  .head_dim = 12});
    return std::vector<Owned>{x, turned};
  });
}

// Expert e has the rows with r % 3 == e; a part of the rows has lists of its own.
TEST(RowInvariance, GroupedMatmul) {
  const Owned x = Normal(kF, {kMost, 20}, 10),
              weight = testing::Pack(Normal(kF, {3, 20, 40}, 11), 3, 20, 40);
  ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
    Owned index(DType::kInt32, {rows}), offsets(DType::kInt32, {4}), compact(kF, {rows, 40}),
        y(kF, {rows, 40});
    int64_t next = 0;
    for (int64_t e = 0; e < 3; ++e) {
      for (int64_t r = 0; r < rows; ++r) {
        if ((shift + r) % 3 == e) index.Put(next++, static_cast<double>(r));
      }
      offsets.Put(e + 1, static_cast<double>(next));
    }
    GroupedMatmul(stream, {.x = x.view.Rows(shift, rows),
                           .row_index = index,
                           .offsets = offsets,
                           .weight = weight,
                           .out = compact});
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(y.view.Rows(static_cast<int64_t>(index.Get(r)), 1).data,
                  compact.view.Rows(r, 1).data, 160);
    }
    return std::vector<Owned>{y};
  });
}

TEST(RowInvariance, SamplingAndLogProbs) {
  const int64_t vocab = 123;
  const Owned logits = Normal(kF, {kMost, vocab}, 12, 2), up = Normal(kF, {kMost}, 13);
  Owned ids(DType::kUint64, {kMost}), positions(DType::kInt32, {kMost});
  for (int64_t r = 0; r < kMost; ++r) {
    ids.Put(r, static_cast<double>(r * 31));
    positions.Put(r, static_cast<double>(r % 200));
  }
  for (const SamplingRule& rule :
       {SamplingRule{}, SamplingRule{.temperature = 0.8, .top_k = 40, .top_p = 0.9}}) {
    ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
      Owned tokens(DType::kInt32, {rows}), log_probs(kF, {rows}), entropies(kF, {rows}),
          again(kF, {rows}), dlogits(kF, {rows, vocab});
      SampleTokenArgs draw;
      draw.logits = logits.view.Rows(shift, rows);
      draw.rollout_ids = ids.view.Rows(shift, rows);
      draw.positions = positions.view.Rows(shift, rows);
      draw.seed = 3;
      draw.rule = rule;
      draw.tokens = tokens;
      draw.log_probs = log_probs;
      draw.entropies = entropies;
      SampleToken(stream, draw);
      TokenLogProbsArgs score;
      score.logits = draw.logits;
      score.targets = tokens;
      score.rule = rule;
      score.log_probs = again;
      score.entropies = entropies;
      TokenLogProbs(stream, score);
      TokenLogProbsBackward(stream, {.logits = draw.logits,
                                     .targets = tokens,
                                     .rule = rule,
                                     .dlog_probs = up.view.Rows(shift, rows),
                                     .dentropies = up.view.Rows(shift, rows),
                                     .dlogits = dlogits});
      return std::vector<Owned>{tokens, log_probs, entropies, again, dlogits};
    });
  }
}

// Decode steps of many sequences in one call: the other rows do not change a row.
TEST(RowInvariance, AttentionOfOtherSequences) {
  const int64_t heads = 4, dim = 8, blocks = 40;
  const Owned q = Normal(kF, {kMost, heads * dim}, 14), keys = Normal(kF, {blocks, 2, dim, 64}, 15),
              values = Normal(kF, {blocks, 2, 64, dim}, 16);
  Owned table(DType::kInt32, {kMost, 3}), positions(DType::kInt32, {kMost}),
      sequence(DType::kInt32, {kMost});
  for (int64_t s = 0; s < kMost; ++s) {
    for (int64_t b = 0; b < 3; ++b)
      table.Put(s * 3 + b, static_cast<double>((s * 11 + b) % blocks));
    positions.Put(s, static_cast<double>(s * 37 % 192));
    sequence.Put(s, static_cast<double>(s));
  }
  ExpectRowsAlone([&](Stream& stream, int64_t shift, int64_t rows) {
    Owned out(kF, {rows, heads * dim}), stats(kF, {rows, heads, 2});
    Attention(stream, {.q = q.view.Rows(shift, rows),
                       .sequence = sequence.view.Rows(shift, rows),
                       .positions = positions.view.Rows(shift, rows),
                       .block_table = table,
                       .k_cache = keys,
                       .v_cache = values,
                       .out = out,
                       .max_and_sum = stats,
                       .heads = heads,
                       .scale = 0.4});
    return std::vector<Owned>{out, stats};
  });
}

}  // namespace
}  // namespace grouper
