// Sequences that share a prefix: its keys and values are computed once, and its gradient is the sum
// over all of them. The reference is the same sequences, each with a copy of the prefix.
#include "kernels/attention/attention.h"
#include "kernels/attention/task_list.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

constexpr int64_t kHeads = 4, kKvHeads = 2, kDim = 10;
constexpr int64_t kQ = kHeads * kDim, kKv = kKvHeads * kDim;

struct Family {
  int64_t prefix;
  std::vector<int64_t> lengths;
};

// Rows in the order of the batch: for each family its sequences, then its prefix.
struct Layout {
  std::vector<int32_t> sequence, position, offsets{0}, first, prefixes, from, to, counts;
  std::vector<std::vector<int32_t>> blocks;
  int64_t tokens = 0, prefix_rows = 0, next_block = 0;

  explicit Layout(const std::vector<Family>& families) {
    for (const Family& family : families) {
      const size_t shared = static_cast<size_t>(family.prefix / 64);
      std::vector<int32_t> own;
      for (int64_t p = 0; p < family.prefix; p += 64) own.push_back(Take());
      for (int64_t length : family.lengths) {
        std::vector<int32_t> table(own.begin(), own.begin() + static_cast<int64_t>(shared));
        while (static_cast<int64_t>(table.size()) * 64 < family.prefix + length) {
          table.push_back(Take());
        }
        if (family.prefix % 64 != 0) {
          from.push_back(own[shared]);
          to.push_back(table[shared]);
          counts.push_back(static_cast<int32_t>(family.prefix % 64));
        }
        Add(family.prefix, length, table);
      }
      Add(0, family.prefix, own);
      prefix_rows += family.prefix;
    }
  }
  int32_t Take() { return static_cast<int32_t>(next_block++ * 7 % 61); }
  void Add(int64_t first_position, int64_t count, const std::vector<int32_t>& table) {
    for (int64_t i = 0; i < count; ++i) {
      sequence.push_back(static_cast<int32_t>(blocks.size()));
      position.push_back(static_cast<int32_t>(first_position + i));
    }
    tokens += count;
    offsets.push_back(static_cast<int32_t>(tokens));
    first.push_back(static_cast<int32_t>(first_position));
    prefixes.push_back(static_cast<int32_t>(prefix_rows));
    blocks.push_back(table);
  }
};

Owned Ints(const std::vector<int32_t>& values) {
  Owned t(DType::kInt32, {static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) t.Put(static_cast<int64_t>(i), values[i]);
  return t;
}

struct Case {
  DType dtype;
  Layout layout;
  int64_t tokens;
  Owned q, k, v, dout, sequence, position, offsets, first, prefixes, from, to, counts, table;
  Owned k_cache, v_cache, out, stats;

  Case(DType d, const std::vector<Family>& families) : dtype(d), layout(families) {
    tokens = layout.tokens;
    q = Normal(d, {tokens, kQ}, 1);
    k = Normal(d, {tokens, kKv}, 2);
    v = Normal(d, {tokens, kKv}, 3);
    dout = Normal(d, {tokens, kQ}, 4);
    sequence = Ints(layout.sequence);
    position = Ints(layout.position);
    offsets = Ints(layout.offsets);
    first = Ints(layout.first);
    prefixes = Ints(layout.prefixes);
    from = Ints(layout.from);
    to = Ints(layout.to);
    counts = Ints(layout.counts);
    int64_t most = 0;
    for (const auto& row : layout.blocks) most = std::max(most, static_cast<int64_t>(row.size()));
    table = Owned(DType::kInt32, {static_cast<int64_t>(layout.blocks.size()), most});
    for (size_t s = 0; s < layout.blocks.size(); ++s) {
      for (size_t b = 0; b < layout.blocks[s].size(); ++b) {
        table.Put(static_cast<int64_t>(s) * most + static_cast<int64_t>(b), layout.blocks[s][b]);
      }
    }
    k_cache = Owned(d, {61, kKvHeads, kDim, 64});
    v_cache = Owned(d, {61, kKvHeads, 64, kDim});
    for (int64_t i = 0; i < k_cache.view.elements(); ++i) {
      k_cache.Put(i, std::nan(""));
      v_cache.Put(i, std::nan(""));
    }
    out = Owned(d, {tokens, kQ});
    stats = Owned(d, {tokens, kHeads, 2});
  }
  Case(const Case&) = delete;

  void Forward(Stream stream) {
    AppendKv(stream, {k, v, sequence, position, table, k_cache, v_cache});
    CopyKv(stream, {from, to, counts, k_cache, v_cache});
    Attention(stream, {.q = q,
                       .sequence = sequence,
                       .positions = position,
                       .block_table = table,
                       .k_cache = k_cache,
                       .v_cache = v_cache,
                       .out = out,
                       .max_and_sum = stats,
                       .heads = kHeads,
                       .scale = 0.3});
  }
};

struct Grads {
  Owned dq, dk, dv, prefix_dk, prefix_dv;
  explicit Grads(const Case& c)
      : dq(c.dtype, {c.tokens, kQ}),
        dk(c.dtype, {c.tokens, kKv}),
        dv(c.dtype, {c.tokens, kKv}),
        prefix_dk(c.dtype, {c.layout.prefix_rows, kKv}),
        prefix_dv(c.dtype, {c.layout.prefix_rows, kKv}) {}
};

// Sequences [begin, end) in one call.
void Backward(Stream stream, const Case& c, int64_t begin, int64_t end, Grads* g) {
  const int64_t row = c.layout.offsets[static_cast<size_t>(begin)];
  const int64_t rows = c.layout.offsets[static_cast<size_t>(end)] - row, n = end - begin;
  std::vector<int32_t> offsets;
  for (int64_t s = begin; s <= end; ++s) {
    offsets.push_back(c.layout.offsets[static_cast<size_t>(s)] - static_cast<int32_t>(row));
  }
  AttentionBackward(stream, {.q = c.q.view.Rows(row, rows),
                             .out = c.out.view.Rows(row, rows),
                             .dout = c.dout.view.Rows(row, rows),
                             .max_and_sum = c.stats.view.Rows(row, rows),
                             .sequence_offsets = Ints(offsets),
                             .first_positions = c.first.view.Rows(begin, n),
                             .prefixes = c.prefixes.view.Rows(begin, n),
                             .block_table = c.table.view.Rows(begin, n),
                             .k_cache = c.k_cache,
                             .v_cache = c.v_cache,
                             .dq = g->dq.view.Rows(row, rows),
                             .dk = g->dk.view.Rows(row, rows),
                             .dv = g->dv.view.Rows(row, rows),
                             .prefix_dk = g->prefix_dk,
                             .prefix_dv = g->prefix_dv,
                             .heads = kHeads,
                             .scale = 0.3});
}

const std::vector<Family> kFamilies = {
    {130, {40, 3, 70}}, {64, {1, 64}}, {1, {5}}, {63, {1, 2}}, {20, {9}}};

TEST(SharedPrefix, ForwardRowsAreThoseOfWholeSequencesAndGradientsTheirSum) {
  Case c(DType::kFloat64, kFamilies);
  c.Forward(BestStream());
  Grads g(c);
  const int64_t sequences = static_cast<int64_t>(c.layout.blocks.size());
  Backward(BestStream(), c, 0, sequences, &g);

  // Each sequence with its own copy of the prefix. The prefix's upstream gradient counts once, in
  // the copy of the family's first sequence.
  Owned dk(DType::kFloat64, {c.tokens, kKv}), dv(DType::kFloat64, {c.tokens, kKv});
  Owned dq(DType::kFloat64, {c.tokens, kQ});
  const auto add = [](const Owned& from, int64_t row, const Owned& to, int64_t to_row) {
    for (int64_t i = 0; i < from.view.shape[1]; ++i) {
      to.view.as<double>()[to_row * to.view.shape[1] + i] += from.Get(row * from.view.shape[1] + i);
    }
  };
  int64_t s = 0;
  for (const Family& family : kFamilies) {
    const int64_t members = static_cast<int64_t>(family.lengths.size());
    const int64_t prefix_row = c.layout.offsets[static_cast<size_t>(s + members)];
    for (int64_t member = 0; member < members; ++member, ++s) {
      const int64_t row = c.layout.offsets[static_cast<size_t>(s)];
      const int64_t length = family.lengths[static_cast<size_t>(member)];
      Case alone(DType::kFloat64, {{family.prefix + length, {}}});
      const auto source = [&](int64_t t) {
        return t < family.prefix ? prefix_row + t : row + t - family.prefix;
      };
      for (int64_t t = 0; t < alone.tokens; ++t) {
        for (auto [to, from] : {std::pair(&alone.q, &c.q),
                                {&alone.dout, &c.dout},
                                {&alone.k, &c.k},
                                {&alone.v, &c.v}}) {
          const int64_t width = to->view.shape[1];
          const bool twice = to == &alone.dout && t < family.prefix && member > 0;
          for (int64_t i = 0; i < width; ++i) {
            to->Put(t * width + i, twice ? 0 : from->Get(source(t) * width + i));
          }
        }
      }
      alone.Forward(BestStream());
      Grads own(alone);
      Backward(BestStream(), alone, 0, 1, &own);
      for (int64_t t = 0; t < alone.tokens; ++t) {
        for (int64_t i = 0; i < kQ; ++i) {
          ASSERT_EQ(alone.out.Get(t * kQ + i), c.out.Get(source(t) * kQ + i)) << s << " " << t;
        }
        add(own.dq, t, dq, source(t));
        add(own.dk, t, dk, source(t));
        add(own.dv, t, dv, source(t));
      }
    }
    ++s;  // the prefix
  }
  EXPECT_TRUE(testing::Near(g.dq, dq, 1e-10));
  EXPECT_TRUE(testing::Near(g.dk, dk, 1e-10));
  EXPECT_TRUE(testing::Near(g.dv, dv, 1e-10));
}

TEST(SharedPrefix, CutsThreadsAndInstructionSetsChangeNoBit) {
  Case c(DType::kFloat32, kFamilies);
  const Stream scalar{cpu::Isa::kScalar, nullptr};
  c.Forward(scalar);
  Grads expected(c);
  const int64_t sequences = static_cast<int64_t>(c.layout.blocks.size());
  Backward(scalar, c, 0, sequences, &expected);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    // One thread takes whole families; 16 divide rows and blocks of keys.
    for (int threads : {1, 2, 16}) {
      for (int64_t step : {int64_t{1}, int64_t{2}, int64_t{5}, sequences}) {
        cpu::ThreadPool pool(threads);
        const Stream stream{isa, threads > 1 ? &pool : nullptr};
        Case again(DType::kFloat32, kFamilies);
        again.Forward(stream);
        ASSERT_TRUE(SameBits(again.out, c.out));
        Grads g(again);
        for (int64_t s = 0; s < sequences; s += step) {
          Backward(stream, again, s, std::min(sequences, s + step), &g);
        }
        EXPECT_TRUE(SameBits(g.dq, expected.dq)) << cpu::NameOf(isa) << threads << " " << step;
        EXPECT_TRUE(SameBits(g.dk, expected.dk)) << cpu::NameOf(isa) << threads << " " << step;
        EXPECT_TRUE(SameBits(g.dv, expected.dv)) << cpu::NameOf(isa) << threads << " " << step;
      }
    }
  }
}

TEST(SharedPrefix, BothFormsOfTheTaskListAreTested) {
  const int64_t families = static_cast<int64_t>(kFamilies.size());
  EXPECT_TRUE(cpu::FuseBackward(families, kKvHeads, 1));
  EXPECT_TRUE(cpu::FuseBackward(families, kKvHeads, 2));
  EXPECT_FALSE(cpu::FuseBackward(families, kKvHeads, 16));
}

}  // namespace
}  // namespace grouper
