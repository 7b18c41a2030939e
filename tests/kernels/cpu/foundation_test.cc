// What every operator uses: the 16-lane type in its three forms, exp and log, the thread pool, the
// arena, the choice of instruction set.
#include <bit>
#include <cstdlib>
#include <limits>
#include <set>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "tests/kernels/cpu/vec_math_probe.h"
#include "tests/testing/kernel_case.h"

namespace grouper {

void VecMathProbe(Stream& stream, const VecMathProbeArgs& args) {
  GROUPER_DISPATCH(VecMathProbe, stream, args, DType::kFloat32);
}

namespace {

using testing::Owned;

struct Probe {
  explicit Probe(int64_t n)
      : a(DType::kFloat32, {n}),
        b(DType::kFloat32, {n}),
        c(DType::kFloat32, {n}),
        fma(DType::kFloat32, {n}),
        exp(DType::kFloat32, {n}),
        log(DType::kFloat32, {n}) {}
  void Run(cpu::Isa isa) {
    Stream stream{isa, nullptr};
    VecMathProbe(stream, {.a = a, .b = b, .c = c, .fma = fma, .exp = exp, .log = log});
  }
  Owned a, b, c, fma, exp, log;
};

TEST(Lanes, FmaIsTheHardwaresInEveryFormAlsoAtTheEdges) {
  const int64_t n = 1 << 20;
  Probe p(n);
  // Every exponent, subnormals, zeros of both signs, infinities and NaN.
  const float edges[] = {0.0f,
                         -0.0f,
                         1.0f,
                         -1.0f,
                         1e-45f,
                         -1e-45f,
                         1.17549435e-38f,
                         3.4e38f,
                         -3.4e38f,
                         std::numeric_limits<float>::infinity(),
                         -std::numeric_limits<float>::infinity(),
                         std::numeric_limits<float>::quiet_NaN(),
                         1.00000012f,
                         0.99999994f};
  for (int64_t i = 0; i < n; ++i) {
    const PhiloxWords w = PhiloxAt(1, RandomStream::kDataOrder, 3, static_cast<uint32_t>(i));
    const auto number = [&](uint32_t bits, uint32_t pick) {
      return pick % 8 == 0 ? edges[pick / 8 % 14] : std::bit_cast<float>(bits);
    };
    p.a.view.as<float>()[i] = number(w[0], w[3]);
    p.b.view.as<float>()[i] = number(w[1], w[3] >> 8);
    // Half of the sums cancel: c is near -a * b.
    const float product = p.a.view.as<float>()[i] * p.b.view.as<float>()[i];
    p.c.view.as<float>()[i] = w[3] >> 31 != 0 ? -product : number(w[2], w[3] >> 16);
  }
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    p.Run(isa);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; ++i) {
      const float expected =
          std::fma(p.a.view.as<float>()[i], p.b.view.as<float>()[i], p.c.view.as<float>()[i]);
      const float got = p.fma.view.as<float>()[i];
      const bool same = std::isnan(expected)
                            ? std::isnan(got)
                            : std::bit_cast<uint32_t>(expected) == std::bit_cast<uint32_t>(got);
      wrong += same ? 0 : 1;
    }
    EXPECT_EQ(wrong, 0) << cpu::NameOf(isa);
  }
}

TEST(VecMath, ExpAndLogAgreeInBitsAndLieWithinTheStatedError) {
  const int64_t n = 1 << 20;
  Probe p(n);
  for (int64_t i = 0; i < n; ++i) {
    p.a.Put(i, -87 + 175.0 * static_cast<double>(i) / static_cast<double>(n));
    p.b.Put(i, std::exp(-80 + 160.0 * static_cast<double>(i) / static_cast<double>(n)));
  }
  p.a.Put(0, 0);
  p.b.Put(0, 1);
  p.a.Put(1, -87.5);
  p.a.Put(2, -std::numeric_limits<double>::infinity());
  Owned exp, log;
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    p.Run(isa);
    if (exp.view.empty()) {
      exp = p.exp.Clone();
      log = p.log.Clone();
    }
    EXPECT_TRUE(testing::SameBits(p.exp, exp)) << cpu::NameOf(isa);
    EXPECT_TRUE(testing::SameBits(p.log, log)) << cpu::NameOf(isa);
  }
  EXPECT_EQ(exp.Get(0), 1);
  EXPECT_EQ(log.Get(0), 0);
  EXPECT_EQ(exp.Get(1), 0);
  EXPECT_EQ(exp.Get(2), 0);
  double exp_error = 0, log_error = 0;
  for (int64_t i = 3; i < n; ++i) {
    const double e = std::exp(static_cast<double>(static_cast<float>(p.a.Get(i)))),
                 l = std::log(p.b.Get(i));
    exp_error = std::max(exp_error, std::fabs(exp.Get(i) / e - 1));
    if (std::fabs(l) > 1e-3) log_error = std::max(log_error, std::fabs(log.Get(i) / l - 1));
  }
  EXPECT_LT(exp_error, 1e-7);
  EXPECT_LT(log_error, 2e-7);
}

TEST(VecMath, ExpKeepsANaN) {
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    for (int64_t bad = 0; bad < 32; ++bad) {
      Probe p(32);
      p.a.Put(bad, std::nan(""));
      p.Run(isa);
      for (int64_t i = 0; i < 32; ++i) {
        EXPECT_EQ(std::isnan(p.exp.Get(i)), i == bad) << cpu::NameOf(isa) << " " << i;
      }
    }
  }
}

TEST(ThreadPool, RunsEveryTaskOnceAndIsUsedAgain) {
  for (int threads : {1, 2, 4}) {
    cpu::ThreadPool pool(threads);
    Stream stream{cpu::Isa::kScalar, &pool};
    for (int64_t tasks : {0, 1, 2, 3, 100, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks));
      cpu::ParallelFor(stream, tasks,
                       [&](int64_t i) { seen[static_cast<size_t>(i)].fetch_add(1); });
      for (const auto& count : seen) EXPECT_EQ(count.load(), 1);
    }
    for (int round = 0; round < 2000; ++round) {
      int64_t sum = 0;
      std::vector<int64_t> parts(7);
      cpu::ParallelFor(stream, 7, [&](int64_t i) { parts[static_cast<size_t>(i)] = i; });
      for (int64_t part : parts) sum += part;
      ASSERT_EQ(sum, 21);
    }
  }
}

TEST(ThreadPool, KeepsTheFirstExceptionAndGoesOn) {
  cpu::ThreadPool pool(3);
  Stream stream{cpu::Isa::kScalar, &pool};
  EXPECT_THROW(cpu::ParallelFor(stream, 50,
                                [&](int64_t i) {
                                  if (i % 7 == 3) ThrowUser("task", i);
                                }),
               Error);
  int64_t ran = 0;
  std::mutex mutex;
  cpu::ParallelFor(stream, 50, [&](int64_t) {
    std::lock_guard lock(mutex);
    ++ran;
  });
  EXPECT_EQ(ran, 50);
}

TEST(ThreadPool, RowCutsCoverEveryRowOnce) {
  cpu::ThreadPool pool(2);
  Stream stream{cpu::Isa::kScalar, &pool};
  std::mutex mutex;
  std::multiset<int64_t> rows;
  cpu::ParallelRows(stream, 103, 10, [&](int64_t begin, int64_t end) {
    std::lock_guard lock(mutex);
    for (int64_t r = begin; r < end; ++r) rows.insert(r);
  });
  EXPECT_EQ(rows.size(), 103u);
  EXPECT_EQ(std::set<int64_t>(rows.begin(), rows.end()).size(), 103u);
}

TEST(Arena, NamesAlignsGrowsAndReturns) {
  Arena arena("test", 1000);
  for (int round = 0; round < 3; ++round) {
    arena.Reset();
    const Tensor a = arena.Vector("a", DType::kFloat32, 100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data) % 64, 0u);
    a.as<float>()[99] = 5;
    const Arena::Mark mark = arena.mark();
    const Tensor b = arena.Matrix("b", DType::kFloat64, 100, 30);  // larger than the arena
    b.as<double>()[2999] = 1;
    arena.ReturnTo(mark);
    const Tensor c = arena.Vector("c", DType::kInt32, 3);
    EXPECT_EQ(a.as<float>()[99], 5);
    EXPECT_NE(c.data, a.data);
  }
  EXPECT_EQ(arena.sizes().at("b"), 24000u);
  EXPECT_GE(arena.high_water_bytes(), 24400u);
}

TEST(Isa, TheOverrideIsCheckedAndScalarIsAlwaysThere) {
  EXPECT_EQ(cpu::AvailableIsas().back(), cpu::Isa::kScalar);
  setenv("GROUPER_CPU", "scalar", 1);
  EXPECT_EQ(cpu::ChooseIsa(), cpu::Isa::kScalar);
  setenv("GROUPER_CPU", "mmx", 1);
  EXPECT_THROW(cpu::ChooseIsa(), Error);
  unsetenv("GROUPER_CPU");
  EXPECT_EQ(cpu::ChooseIsa(), cpu::AvailableIsas().front());
  setenv("GROUPER_THREADS", "3", 1);
  EXPECT_EQ(cpu::ChooseThreads(), 3);
  for (const char* bad : {"0", "-1", "x", "2x", "100000"}) {
    setenv("GROUPER_THREADS", bad, 1);
    EXPECT_THROW(cpu::ChooseThreads(), Error) << bad;
  }
  unsetenv("GROUPER_THREADS");
}

TEST(Dispatch, AShapeErrorNamesTheOperatorAndBothShapes) {
  Owned t(DType::kFloat32, {2, 3});
  try {
    CheckMatrix("[probe] x", t, DType::kFloat32, 2, 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(error.message().find("[probe] x"), std::string::npos);
    EXPECT_NE(error.message().find("shape=[2, 3] expected=[2, 4]"), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace grouper
