#include "kernels/attention/attention.h"

#include <limits>

#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

struct Shape {
  int64_t heads = 4, kv_heads = 2, dim = 16;
};

// Sequences of the lengths given, keys and values scattered over a cache whose unused slots hold
// NaN.
struct Case {
  Shape shape;
  DType dtype;
  std::vector<int64_t> lengths;
  int64_t tokens = 0, blocks = 0, max_blocks = 0;
  Owned q, k, v, sequence, positions, table, offsets, k_cache, v_cache;

  Case(Shape shape_, DType d, std::vector<int64_t> l, int64_t block_shift = 0)
      : shape(shape_), dtype(d), lengths(std::move(l)) {
    for (int64_t n : lengths) {
      tokens += n;
      blocks += (n + 63) / 64;
      max_blocks = std::max(max_blocks, (n + 63) / 64);
    }
    // Steps of 3 through a count that 3 does not divide: every block once.
    const int64_t spare = (blocks + 3) % 3 == 0 ? blocks + 4 : blocks + 3,
                  count = static_cast<int64_t>(lengths.size());
    q = Normal(dtype, {tokens, shape.heads * shape.dim}, 1);
    k = Normal(dtype, {tokens, shape.kv_heads * shape.dim}, 2);
    v = Normal(dtype, {tokens, shape.kv_heads * shape.dim}, 3);
    sequence = Owned(DType::kInt32, {tokens});
    positions = Owned(DType::kInt32, {tokens});
    table = Owned(DType::kInt32, {count, max_blocks});
    offsets = Owned(DType::kInt32, {count + 1});
    k_cache = Owned(dtype, {spare, shape.kv_heads, shape.dim, 64});
    v_cache = Owned(dtype, {spare, shape.kv_heads, 64, shape.dim});
    for (int64_t i = 0; i < k_cache.view.elements(); ++i) {
      k_cache.Put(i, std::numeric_limits<double>::quiet_NaN());
      v_cache.Put(i, std::numeric_limits<double>::quiet_NaN());
    }
    int64_t t = 0, block = 0;
    for (int64_t s = 0; s < count; ++s) {
      for (int64_t p = 0; p < lengths[static_cast<size_t>(s)]; ++p, ++t) {
        sequence.Put(t, static_cast<double>(s));
        positions.Put(t, static_cast<double>(p));
      }
      offsets.Put(s + 1, static_cast<double>(t));
      for (int64_t b = 0; b < (lengths[static_cast<size_t>(s)] + 63) / 64; ++b) {
        table.Put(s * max_blocks + b, static_cast<double>((block++ * 3 + block_shift) % spare));
      }
    }
  }
  Case(const Case&) = delete;
};

struct Output {
  Owned out, stats;
};

// Tokens [begin, begin + count) appended and attended in one call.
void Attend(Stream stream, const Case& c, int64_t begin, int64_t count, const Output& o) {
  AppendKv(stream, {.k = c.k.view.Rows(begin, count),
                    .v = c.v.view.Rows(begin, count),
                    .sequence = c.sequence.view.Rows(begin, count),
                    .positions = c.positions.view.Rows(begin, count),
                    .block_table = c.table,
                    .k_cache = c.k_cache,
                    .v_cache = c.v_cache});
  Attention(stream, {.q = c.q.view.Rows(begin, count),
                     .sequence = c.sequence.view.Rows(begin, count),
                     .positions = c.positions.view.Rows(begin, count),
                     .block_table = c.table,
                     .k_cache = c.k_cache,
                     .v_cache = c.v_cache,
                     .out = o.out.view.Rows(begin, count),
                     .max_and_sum = o.stats.view.Rows(begin, count),
                     .heads = c.shape.heads,
                     .scale = 0.3});
}

Output Empty(const Case& c) {
  return {Owned(c.dtype, {c.tokens, c.shape.heads * c.shape.dim}),
          Owned(c.dtype, {c.tokens, c.shape.heads, 2})};
}

Output RunAll(Stream stream, const Case& c) {
  Output o = Empty(c);
  Attend(stream, c, 0, c.tokens, o);
  return o;
}

// softmax(scale q k^T) v in double.
Owned Reference(const Case& c) {
  const int64_t d = c.shape.dim, group = c.shape.heads / c.shape.kv_heads;
  Owned out(DType::kFloat64, {c.tokens, c.shape.heads * d});
  for (int64_t t = 0; t < c.tokens; ++t) {
    const int64_t first = t - static_cast<int64_t>(c.positions.Get(t));
    for (int64_t h = 0; h < c.shape.heads; ++h) {
      std::vector<double> p;
      double sum = 0;
      for (int64_t j = first; j <= t; ++j) {
        double s = 0;
        for (int64_t i = 0; i < d; ++i) {
          s += c.q.Get((t * c.shape.heads + h) * d + i) *
               c.k.Get((j * c.shape.kv_heads + h / group) * d + i);
        }
        p.push_back(std::exp(0.3 * s));
        sum += p.back();
      }
      for (int64_t i = 0; i < d; ++i) {
        double y = 0;
        for (int64_t j = first; j <= t; ++j) {
          y += p[static_cast<size_t>(j - first)] / sum *
               c.v.Get((j * c.shape.kv_heads + h / group) * d + i);
        }
        out.Put((t * c.shape.heads + h) * d + i, y);
      }
    }
  }
  return out;
}

TEST(Attention, MatchesTheFormulaInEveryShape) {
  for (Shape shape :
       {Shape{4, 2, 16}, Shape{3, 3, 4}, Shape{8, 1, 18}, Shape{5, 1, 64}, Shape{2, 1, 130}}) {
    const Case wide(shape, DType::kFloat64, {1, 3, 63, 64, 65, 130});
    EXPECT_TRUE(testing::Near(RunAll(BestStream(), wide).out, Reference(wide), 1e-10)) << shape.dim;
    const Case single(shape, DType::kFloat32, {1, 3, 63, 64, 65, 130});
    EXPECT_TRUE(testing::Near(RunAll(BestStream(), single).out, Reference(single), 1e-5))
        << shape.dim;
  }
}

TEST(Attention, SplitsOf512AreMerged) {
  const Case c({2, 1, 8}, DType::kFloat64, {1100});
  EXPECT_TRUE(testing::Near(RunAll(BestStream(), c).out, Reference(c), 1e-10));
}

TEST(Attention, PrefillEqualsDecodeEqualsAnyChunksWhereverBlocksLie) {
  const std::vector<int64_t> lengths = {600, 1, 64, 65, 129};
  const Case c({4, 2, 16}, DType::kFloat32, lengths);
  const Output all = RunAll(BestStream(), c);
  for (int64_t chunk : {1, 63, 64, 65, 500}) {
    const Case moved({4, 2, 16}, DType::kFloat32, lengths, chunk);
    Output o = Empty(moved);
    cpu::ThreadPool pool(2);
    for (int64_t begin = 0; begin < moved.tokens; begin += chunk) {
      Attend({cpu::AvailableIsas().front(), &pool}, moved, begin,
             std::min(chunk, moved.tokens - begin), o);
    }
    EXPECT_TRUE(SameBits(o.out, all.out)) << chunk;
    EXPECT_TRUE(SameBits(o.stats, all.stats)) << chunk;
  }
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    EXPECT_TRUE(SameBits(RunAll({isa, nullptr}, c).out, all.out)) << cpu::NameOf(isa);
  }
}

TEST(Attention, AKeyThatIsNoNumberSpoilsTheRowsThatSeeItAndNoOther) {
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    for (int64_t bad : {0, 5, 63, 64, 100}) {
      Case c({4, 2, 16}, DType::kFloat32, {130, 70});
      const Output clean = RunAll({isa, nullptr}, c);
      c.k.Put(bad * 32 + 16 + 3, std::nan(""));  // kv head 1
      const Output o = RunAll({isa, nullptr}, c);
      for (int64_t t = 0; t < c.tokens; ++t) {
        for (int64_t i = 0; i < 64; ++i) {
          const bool sees = t >= bad && t < 130 && i >= 32;
          const double y = o.out.Get(t * 64 + i);
          ASSERT_TRUE(sees ? std::isnan(y) : y == clean.out.Get(t * 64 + i))
              << cpu::NameOf(isa) << " key " << bad << " row " << t << " column " << i;
        }
      }
    }
  }
}

struct Grads {
  Owned dq, dk, dv;
};
Grads Backward(Stream stream, const Case& c, const Output& forward, const Owned& dout) {
  Grads g{Owned(c.dtype, {c.tokens, c.shape.heads * c.shape.dim}),
          Owned(c.dtype, {c.tokens, c.shape.kv_heads * c.shape.dim}),
          Owned(c.dtype, {c.tokens, c.shape.kv_heads * c.shape.dim})};
  AttentionBackward(stream, {.q = c.q,
                             .out = forward.out,
                             .dout = dout,
                             .max_and_sum = forward.stats,
                             .sequence_offsets = c.offsets,
                             .block_table = c.table,
                             .k_cache = c.k_cache,
                             .v_cache = c.v_cache,
                             .dq = g.dq,
                             .dk = g.dk,
                             .dv = g.dv,
                             .heads = c.shape.heads,
                             .scale = 0.3});
  return g;
}

TEST(AttentionBackward, MatchesFiniteDifferencesOfEveryInput) {
  Case c({4, 2, 6}, DType::kFloat64, {5, 1, 67});
  const Owned dout = Normal(DType::kFloat64, {c.tokens, 24}, 4);
  const Output forward = RunAll(BestStream(), c);
  const Grads g = Backward(BestStream(), c, forward, dout);
  const auto loss = [&] {
    const Output o = RunAll(BestStream(), c);
    double sum = 0;
    for (int64_t i = 0; i < dout.view.elements(); ++i) sum += o.out.Get(i) * dout.Get(i);
    return sum;
  };
  EXPECT_TRUE(testing::GradientMatches(c.q, g.dq, loss));
  EXPECT_TRUE(testing::GradientMatches(c.k, g.dk, loss));
  EXPECT_TRUE(testing::GradientMatches(c.v, g.dv, loss));
}

TEST(AttentionBackward, ThreadsInstructionSetsAndNeighboursChangeNoBit) {
  const Case c({4, 2, 16}, DType::kFloat32, {100, 30, 64, 1});
  const Owned dout = Normal(DType::kFloat32, {c.tokens, 64}, 5);
  const Grads reference = Backward(BestStream(), c, RunAll(BestStream(), c), dout);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(3);
    const Grads g = Backward({isa, &pool}, c, RunAll({isa, &pool}, c), dout);
    EXPECT_TRUE(SameBits(g.dq, reference.dq)) << cpu::NameOf(isa);
    EXPECT_TRUE(SameBits(g.dk, reference.dk)) << cpu::NameOf(isa);
    EXPECT_TRUE(SameBits(g.dv, reference.dv)) << cpu::NameOf(isa);
  }
  // The first sequence alone.
  const Case alone({4, 2, 16}, DType::kFloat32, {100});
  std::memcpy(alone.q.view.data, c.q.view.data, alone.q.bytes());
  std::memcpy(alone.k.view.data, c.k.view.data, alone.k.bytes());
  std::memcpy(alone.v.view.data, c.v.view.data, alone.v.bytes());
  Owned first(DType::kFloat32, {100, 64});
  std::memcpy(first.view.data, dout.view.data, first.bytes());
  const Grads g = Backward(BestStream(), alone, RunAll(BestStream(), alone), first);
  EXPECT_EQ(0, std::memcmp(g.dq.view.data, reference.dq.view.data, g.dq.bytes()));
  EXPECT_EQ(0, std::memcmp(g.dk.view.data, reference.dk.view.data, g.dk.bytes()));
}

// Shapes that leave tiles, vectors and blocks partly filled: head sizes, heads per kv head (also
// more than fit into a tile), lengths from 1 to 35 and around the size of a block.
TEST(AttentionTiles, EveryEdgeGivesTheBitsOfTheScalarForm) {
  std::vector<int64_t> lengths = {63, 65, 130};
  for (int64_t n = 1; n <= 35; ++n) lengths.push_back(n);
  for (Shape shape : {Shape{2, 2, 1}, Shape{6, 2, 15}, Shape{3, 3, 17}, Shape{5, 1, 33},
                      Shape{50, 1, 16}, Shape{4, 2, 100}, Shape{3, 1, 64}}) {
    const Case c(shape, DType::kFloat32, lengths);
    const Owned dout = Normal(DType::kFloat32, {c.tokens, shape.heads * shape.dim}, 6);
    const Stream scalar{cpu::Isa::kScalar, nullptr};
    const Output expected = RunAll(scalar, c);
    const Grads slopes = Backward(scalar, c, expected, dout);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      cpu::ThreadPool pool(2);
      const Output o = RunAll({isa, &pool}, c);
      const Grads g = Backward({isa, &pool}, c, o, dout);
      EXPECT_TRUE(SameBits(o.out, expected.out)) << cpu::NameOf(isa) << " " << shape.dim;
      EXPECT_TRUE(SameBits(o.stats, expected.stats)) << cpu::NameOf(isa) << " " << shape.dim;
      EXPECT_TRUE(SameBits(g.dq, slopes.dq)) << cpu::NameOf(isa) << " " << shape.dim;
      EXPECT_TRUE(SameBits(g.dk, slopes.dk)) << cpu::NameOf(isa) << " " << shape.dim;
      EXPECT_TRUE(SameBits(g.dv, slopes.dv)) << cpu::NameOf(isa) << " " << shape.dim;
    }
  }
}

}  // namespace
}  // namespace grouper
