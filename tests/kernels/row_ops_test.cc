// Operators on rows: swiglu, embedding, rope, adamw, gradient norm.
#include <limits>

#include "base/error.h"
#include "kernels/act/swiglu.h"
#include "kernels/embed/embedding.h"
#include "kernels/embed/rope.h"
#include "kernels/optim/adamw.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

double Dot(const Owned& a, const Owned& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.view.elements(); ++i) sum += a.Get(i) * b.Get(i);
  return sum;
}

Owned RunSwiglu(Stream stream, const Owned& x) {
  Owned out(x.view.dtype, {x.view.shape[0], x.view.shape[1] / 2});
  Swiglu(stream, {.gate_up = x, .out = out});
  return out;
}

TEST(Swiglu, MatchesTheFormulaAndItsDifferences) {
  const Owned x = Normal(DType::kFloat32, {7, 74}, 1, 3);
  const Owned out = RunSwiglu(BestStream(), x);
  for (int64_t t = 0; t < 7; ++t) {
    for (int64_t i = 0; i < 37; ++i) {
      const double g = x.Get(t * 74 + i), u = x.Get(t * 74 + 37 + i);
      EXPECT_NEAR(out.Get(t * 37 + i), g / (1 + std::exp(-g)) * u, 1e-5);
    }
  }
  Owned x64 = Normal(DType::kFloat64, {3, 20}, 2);
  const Owned dout = Normal(DType::kFloat64, {3, 10}, 3);
  Owned dx(DType::kFloat64, {3, 20});
  Stream stream = BestStream();
  SwigluBackward(stream, {.gate_up = x64, .dout = dout, .dgate_up = dx});
  EXPECT_TRUE(testing::GradientMatches(x64, dx, [&] { return Dot(RunSwiglu(stream, x64), dout); }));
}

TEST(Swiglu, RowsAndInstructionSetsAgree) {
  const Owned x = Normal(DType::kFloat32, {130, 50}, 4, 5),
              dout = Normal(DType::kFloat32, {130, 25}, 5);
  const Owned all = RunSwiglu(BestStream(), x);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(2);
    EXPECT_TRUE(SameBits(RunSwiglu({isa, &pool}, x), all)) << cpu::NameOf(isa);
    Owned a(DType::kFloat32, {130, 50}), b(DType::kFloat32, {130, 50});
    Stream one{isa, &pool}, best = BestStream();
    SwigluBackward(one, {.gate_up = x, .dout = dout, .dgate_up = a});
    SwigluBackward(best, {.gate_up = x, .dout = dout, .dgate_up = b});
    EXPECT_TRUE(SameBits(a, b)) << cpu::NameOf(isa);
  }
  Owned row(DType::kFloat32, {1, 50});
  std::memcpy(row.view.data, x.view.Rows(77, 1).data, row.bytes());
  EXPECT_EQ(0, std::memcmp(RunSwiglu(BestStream(), row).view.data, all.view.Rows(77, 1).data, 100));
}

TEST(Embedding, CopiesRowsAndAddsGradientsInOrder) {
  const Owned table = Normal(DType::kFloat32, {9, 70}, 6);
  Owned ids(DType::kInt32, {5}), out(DType::kFloat32, {5, 70}), dtable(DType::kFloat32, {9, 70});
  const int chosen[5] = {3, 0, 3, 8, 3};
  for (int i = 0; i < 5; ++i) ids.Put(i, chosen[i]);
  cpu::ThreadPool pool(3);
  Stream stream{cpu::AvailableIsas().front(), &pool};
  Embedding(stream, {.ids = ids, .table = table, .out = out});
  for (int64_t t = 0; t < 5; ++t) {
    EXPECT_EQ(0, std::memcmp(out.view.Rows(t, 1).data, table.view.Rows(chosen[t], 1).data, 280));
  }
  EmbeddingBackward(stream, {.ids = ids, .dout = out, .dtable = dtable});
  for (int64_t i = 0; i < 70; ++i) {
    const float x = static_cast<float>(table.Get(3 * 70 + i));
    EXPECT_EQ(dtable.Get(3 * 70 + i), static_cast<double>((x + x) + x));
    EXPECT_EQ(dtable.Get(1 * 70 + i), 0);
  }
  ids.Put(2, 9);
  EXPECT_THROW(Embedding(stream, {.ids = ids, .table = table, .out = out}), Error);
}

TEST(Embedding, MatchesFiniteDifferences) {
  Owned table = Normal(DType::kFloat64, {5, 3}, 20), ids(DType::kInt32, {7}),
        dtable(DType::kFloat64, {5, 3});
  const Owned dout = Normal(DType::kFloat64, {7, 3}, 21);
  const int chosen[7] = {4, 0, 4, 2, 2, 2, 0};
  for (int i = 0; i < 7; ++i) ids.Put(i, chosen[i]);
  Stream stream = BestStream();
  EmbeddingBackward(stream, {.ids = ids, .dout = dout, .dtable = dtable});
  EXPECT_TRUE(testing::GradientMatches(table, dtable, [&] {
    Owned out(DType::kFloat64, {7, 3});
    Embedding(stream, {.ids = ids, .table = table, .out = out});
    return Dot(out, dout);
  }));
}

TEST(Rope, MatchesFiniteDifferences) {
  Owned positions(DType::kInt32, {3});
  for (int t = 0; t < 3; ++t) positions.Put(t, 4 - 2 * t);
  const Owned cos = Normal(DType::kFloat64, {5, 3}, 22), sin = Normal(DType::kFloat64, {5, 3}, 23);
  const Owned dout = Normal(DType::kFloat64, {3, 12}, 24);
  for (bool interleaved : {false, true}) {
    const auto rotated = [&](const Owned& x, bool inverse) {
      Owned y = x.Clone();
      Stream stream = BestStream();
      Rope(stream, {.x = y,
                    .positions = positions,
                    .cos = cos,
                    .sin = sin,
                    .head_dim = 6,
                    .interleaved = interleaved,
                    .inverse = inverse});
      return y;
    };
    Owned x = Normal(DType::kFloat64, {3, 12}, 25);
    EXPECT_TRUE(testing::GradientMatches(x, rotated(dout, true),
                                         [&] { return Dot(rotated(x, false), dout); }));
  }
}

TEST(Rope, RotatesPairsAndItsInverseTurnsBack) {
  for (bool interleaved : {false, true}) {
    const int64_t dim = 10;
    const Owned x = Normal(DType::kFloat64, {4, 3 * dim}, 7);
    Owned positions(DType::kInt32, {4}), cos(DType::kFloat64, {50, 5}),
        sin(DType::kFloat64, {50, 5});
    for (int64_t t = 0; t < 4; ++t) positions.Put(t, static_cast<double>(t * 11));
    for (int64_t p = 0; p < 50; ++p) {
      for (int64_t i = 0; i < 5; ++i) {
        const double angle =
            static_cast<double>(p) * std::pow(10000.0, -static_cast<double>(i) / 5);
        cos.Put(p * 5 + i, std::cos(angle));
        sin.Put(p * 5 + i, std::sin(angle));
      }
    }
    Owned y = x.Clone();
    Stream stream = BestStream();
    RopeArgs args{.x = y,
                  .positions = positions,
                  .cos = cos,
                  .sin = sin,
                  .head_dim = dim,
                  .interleaved = interleaved};
    Rope(stream, args);
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t h = 0; h < 3; ++h) {
        for (int64_t i = 0; i < 5; ++i) {
          const int64_t base = t * 30 + h * dim, a = base + (interleaved ? 2 * i : i),
                        b = base + (interleaved ? 2 * i + 1 : i + 5);
          const int64_t p = t * 11;
          EXPECT_NEAR(y.Get(a), x.Get(a) * cos.Get(p * 5 + i) - x.Get(b) * sin.Get(p * 5 + i),
                      1e-12);
          EXPECT_NEAR(y.Get(b), x.Get(b) * cos.Get(p * 5 + i) + x.Get(a) * sin.Get(p * 5 + i),
                      1e-12);
        }
      }
    }
    args.inverse = true;
    Rope(stream, args);
    EXPECT_TRUE(testing::Near(y, x, 1e-12));
    const Owned x32 = x.As(DType::kFloat32), cos32 = cos.As(DType::kFloat32),
                sin32 = sin.As(DType::kFloat32);
    Owned reference;
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      Owned z = x32.Clone();
      Stream one{isa, nullptr};
      Rope(one, {.x = z,
                 .positions = positions,
                 .cos = cos32,
                 .sin = sin32,
                 .head_dim = dim,
                 .interleaved = interleaved});
      if (reference.view.empty()) reference = z;
      EXPECT_TRUE(SameBits(z, reference)) << cpu::NameOf(isa);
    }
  }
}

TEST(Adamw, InstructionSetsAndThreadsAgree) {
  const int64_t n = 50021;
  const Owned p0 = Normal(DType::kFloat32, {n}, 8), g = Normal(DType::kFloat32, {n}, 9);
  Owned reference;
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(2);
    Stream stream{isa, &pool};
    Owned p = p0.Clone(), m(DType::kFloat32, {n}), v(DType::kFloat32, {n});
    for (int64_t update = 1; update <= 3; ++update) {
      Adamw(stream, {.param = p,
                     .grad = g,
                     .m = m,
                     .v = v,
                     .grad_scale = 0.7,
                     .lr = 1e-2,
                     .weight_decay = 0.1,
                     .update = update});
    }
    if (reference.view.empty()) reference = p;
    EXPECT_TRUE(SameBits(p, reference)) << cpu::NameOf(isa);
  }
}

// Where a bad number is put before the update, and whether the update must report it. Element 50020
// is in the last, incomplete group of lanes.
TEST(Adamw, ReportsWhatIsNotFiniteOnEveryInstructionSetAndThreadCount) {
  const int64_t n = 50021;
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               inf = std::numeric_limits<double>::infinity();
  struct Case {
    const char* name;
    char where;  // 'p', 'm', 'v', or '-' for nowhere
    int64_t element;
    double value;
    double lr, eps;
    bool bad;
  };
  const std::vector<Case> cases = {
      {"all is finite", '-', 0, 0, 1e-2, 1e-8, false},
      {"eps 0, no gradient is 0", '-', 0, 0, 1e-2, 0, false},
      {"a NaN weight", 'p', 7, nan, 1e-2, 1e-8, true},
      {"the last weight", 'p', n - 1, inf, 1e-2, 1e-8, true},
      {"a first moment", 'm', 16384, nan, 0, 1e-8, true},
      {"a second moment that leaves the weight as it is", 'v', 40000, inf, 1e-2, 1e-8, true},
      {"the last second moment", 'v', n - 1, inf, 1e-2, 1e-8, true},
      {"a learning rate beyond fp32", '-', 0, 0, 1e39, 1e-8, true},
  };
  Owned g = Normal(DType::kFloat32, {n}, 9);
  for (int64_t i = 0; i < n; ++i) {
    if (g.Get(i) == 0) g.Put(i, 1);
  }
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      for (int threads : {1, 3}) {
        SCOPED_TRACE(std::string(cpu::NameOf(isa)) + " threads " + std::to_string(threads));
        cpu::ThreadPool pool(threads);
        Stream stream{isa, threads > 1 ? &pool : nullptr};
        Owned p = Normal(DType::kFloat32, {n}, 8), m(DType::kFloat32, {n}), v(DType::kFloat32, {n}),
              flag(DType::kInt32, {1});
        if (c.where == 'p') p.Put(c.element, c.value);
        if (c.where == 'm') m.Put(c.element, c.value);
        if (c.where == 'v') v.Put(c.element, c.value);
        const AdamwArgs args{
            .param = p, .grad = g, .m = m, .v = v, .lr = c.lr, .eps = c.eps, .not_finite = flag};
        Adamw(stream, args);
        EXPECT_EQ(flag.Get(0), c.bad ? 1 : 0);
        flag.Put(0, 1);  // a flag that is set stays set
        Adamw(stream, args);
        EXPECT_EQ(flag.Get(0), 1);
      }
    }
  }
}

TEST(GradSquares, SumsBlocksLeftToRightAndReportsWhatIsNotFinite) {
  const int64_t n = 10000;
  Owned g = Normal(DType::kFloat32, {n}, 10), blocks(DType::kFloat64, {3});
  double expected = 0;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    double block = 0;
    for (int64_t i = begin; i < std::min(n, begin + 4096); ++i) block += g.Get(i) * g.Get(i);
    expected += block;
  }
  cpu::ThreadPool pool(3);
  Stream stream{cpu::AvailableIsas().front(), &pool};
  EXPECT_EQ(GradSquares(stream, {.grad = g, .blocks = blocks}), expected);
  g.Put(5000, std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(std::isfinite(GradSquares(stream, {.grad = g, .blocks = blocks})));
  EXPECT_EQ(ClipScale(0.5, 1), 1);
  EXPECT_NEAR(ClipScale(4, 1), 0.25, 1e-6);
}

}  // namespace
}  // namespace grouper
