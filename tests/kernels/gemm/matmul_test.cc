#include "kernels/gemm/matmul.h"

#include "tests/testing/packing.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Dense;
using testing::Normal;
using testing::Owned;
using testing::Pack;
using testing::SameBits;
using testing::Unpack;

Owned Product(Stream stream, const Owned& x, const Owned& packed, int64_t out) {
  Owned y(x.view.dtype, {x.view.shape[0], out});
  Matmul(stream, {.x = x, .weight = Dense(packed), .bias = {}, .residual = {}, .out = y});
  return y;
}

// The chain written out: acc = fma(x_k, w_k, acc) in fp32, k ascending.
Owned Chains(const Owned& x, const Owned& w, int64_t out) {
  const int64_t rows = x.view.shape[0], in = x.view.shape[1];
  Owned y(DType::kFloat32, {rows, out});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < out; ++c) {
      float acc = 0;
      for (int64_t k = 0; k < in; ++k) {
        acc = std::fmaf(static_cast<float>(x.Get(r * in + k)),
                        static_cast<float>(w.Get(k * out + c)), acc);
      }
      y.Put(r * out + c, static_cast<double>(acc));
    }
  }
  return y;
}

TEST(Matmul, IsOneFusedChainPerOutputOnEveryInstructionSet) {
  for (auto [rows, in, out] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                               {3, 5, 7},
                               {14, 64, 33},
                               {15, 16, 32},
                               {29, 100, 128},
                               {2, 24, 200},
                               {70, 64, 123},
                               {7, 193, 33},        // more than a block of the depth
                               {131, 500, 70},      // and more than a chunk of rows
                               {20, 4001, 290}}) {  // deep: groups of panels
    const Owned x = Normal(DType::kFloat32, {rows, in}, 1),
                w = Normal(DType::kFloat32, {1, in, out}, 2);
    const Owned packed = Pack(w, 1, in, out), expected = Chains(x, w, out);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      cpu::ThreadPool pool(3);
      EXPECT_TRUE(SameBits(Product({isa, nullptr}, x, packed, out), expected))
          << rows << " " << cpu::NameOf(isa);
      EXPECT_TRUE(SameBits(Product({isa, &pool}, x, packed, out), expected))
          << rows << " " << cpu::NameOf(isa);
    }
  }
}

TEST(Matmul, ARowDoesNotSeeTheOthersForAnyNumberOfRows) {
  const int64_t in = 48, out = 70, most = 1024;
  const Owned x = Normal(DType::kFloat32, {most, in}, 3),
              packed = Pack(Normal(DType::kFloat32, {1, in, out}, 4), 1, in, out);
  const Owned all = Product(BestStream(), x, packed, out);
  for (int64_t rows :
       {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,  12,  13,  14,  15,  16,  17,  20,
        27, 28, 29, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 255, 512, 1024}) {
    for (int64_t shift : {int64_t{0}, std::min<int64_t>(5, most - rows), most - rows}) {
      Owned y(DType::kFloat32, {rows, out});
      Stream stream = BestStream();
      Matmul(stream, {.x = x.view.Rows(shift, rows),
                      .weight = Dense(packed),
                      .bias = {},
                      .residual = {},
                      .out = y});
      EXPECT_EQ(0, std::memcmp(y.view.data, all.view.Rows(shift, rows).data, y.bytes()))
          << rows << " " << shift;
    }
  }
}

TEST(Matmul, BiasStartsTheChainAndTheResidualIsAddedAfterIt) {
  const Owned x = Normal(DType::kFloat32, {9, 20}, 5), w = Normal(DType::kFloat32, {1, 20, 40}, 6);
  const Owned bias = Normal(DType::kFloat32, {40}, 7),
              residual = Normal(DType::kFloat32, {9, 40}, 8);
  Owned y = residual.Clone();
  Stream stream = BestStream();
  const Owned packed = Pack(w, 1, 20, 40);
  Matmul(stream, {.x = x, .weight = Dense(packed), .bias = bias, .residual = y, .out = y});
  for (int64_t r = 0; r < 9; ++r) {
    for (int64_t c = 0; c < 40; ++c) {
      float acc = static_cast<float>(bias.Get(c));
      for (int64_t k = 0; k < 20; ++k) {
        acc = std::fmaf(static_cast<float>(x.Get(r * 20 + k)),
                        static_cast<float>(w.Get(k * 40 + c)), acc);
      }
      EXPECT_EQ(y.Get(r * 40 + c),
                static_cast<double>(acc + static_cast<float>(residual.Get(r * 40 + c))));
    }
  }
}

class MatmulWeightGradDepth : public ::testing::TestWithParam<int64_t> {};

TEST_P(MatmulWeightGradDepth, ContinuesOneChainOverRowsWhateverTheCut) {
  // More than a block of tokens, a block of rows and a group of panels.
  const int64_t rows = 300, in = GetParam(), out = 270;
  const Owned x = Normal(DType::kFloat32, {rows, in}, 9),
              dy = Normal(DType::kFloat32, {rows, out}, 10);
  Owned expected(DType::kFloat32, {1, in, out});
  for (int64_t k = 0; k < in; ++k) {
    for (int64_t c = 0; c < out; ++c) {
      float acc = 0;
      for (int64_t r = 0; r < rows; ++r) {
        acc = std::fmaf(static_cast<float>(x.Get(r * in + k)),
                        static_cast<float>(dy.Get(r * out + c)), acc);
      }
      expected.Put(k * out + c, static_cast<double>(acc));
    }
  }
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    for (int threads : {1, 2, 3}) {
      cpu::ThreadPool pool(threads);
      Stream stream{isa, threads == 1 ? nullptr : &pool};
      Owned grad(DType::kFloat32, {1, PackedPanels(out), in, 32});
      for (auto [begin, count] : {std::pair<int64_t, int64_t>{0, 1}, {1, 40}, {41, 259}}) {
        MatmulWeightGrad(stream, {.x = x.view.Rows(begin, count),
                                  .dy = dy.view.Rows(begin, count),
                                  .grad = Dense(grad)});
      }
      EXPECT_TRUE(SameBits(Unpack(grad, 1, in, out), expected))
          << cpu::NameOf(isa) << " " << threads;
      // Padded columns stay zero: nothing may leak into them.
      for (int64_t k = 0; k < in; ++k) EXPECT_EQ(grad.Get(testing::PackedAt(in, k, out)), 0);
    }
  }
}

// Tiles have six rows with AVX2: 54 is a multiple of six, 53 leaves rows over.
INSTANTIATE_TEST_SUITE_P(Depths, MatmulWeightGradDepth, ::testing::Values(53, 54));

struct Experts {
  int64_t tokens = 40, in = 24, out = 36, experts = 5;
  Owned x = Normal(DType::kFloat32, {tokens, in}, 11);
  Owned w = Normal(DType::kFloat32, {experts, in, out}, 12);
  Owned index = Owned(DType::kInt32, {60}), offsets = Owned(DType::kInt32, {experts + 1});
  Experts() {
    const int sizes[5] = {17, 0, 1, 30, 12};
    for (int64_t e = 0, at = 0; e < experts; ++e) {
      offsets.Put(e, static_cast<double>(at));
      at += sizes[e];
      offsets.Put(e + 1, static_cast<double>(at));
    }
    for (int64_t r = 0; r < 60; ++r) index.Put(r, static_cast<double>(r * 7 % tokens));
  }
};

TEST(GroupedMatmul, EqualsADenseProductOfEachExpertsRows) {
  const Experts c;
  const Owned packed = Pack(c.w, c.experts, c.in, c.out);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(2);
    Stream stream{isa, &pool};
    Owned y(DType::kFloat32, {60, c.out});
    GroupedMatmul(
        stream, {.x = c.x, .row_index = c.index, .offsets = c.offsets, .weight = packed, .out = y});
    for (int64_t e = 0; e < c.experts; ++e) {
      const int64_t begin = static_cast<int64_t>(c.offsets.Get(e)),
                    end = static_cast<int64_t>(c.offsets.Get(e + 1));
      const Tensor weight =
          Tensor::Cube(packed.view.Rows(e, 1).data, DType::kFloat32, PackedPanels(c.out), c.in, 32);
      for (int64_t r = begin; r < end; ++r) {
        Owned alone(DType::kFloat32, {1, c.out});
        Stream best = BestStream();
        Matmul(best, {.x = c.x.view.Rows(static_cast<int64_t>(c.index.Get(r)), 1),
                      .weight = weight,
                      .bias = {},
                      .residual = {},
                      .out = alone});
        EXPECT_EQ(0, std::memcmp(alone.view.data, y.view.Rows(r, 1).data, alone.bytes()))
            << e << " " << r;
      }
    }
  }
}

TEST(GroupedMatmulWeightGrad, EqualsADenseGradientOfEachExpertsRows) {
  const Experts c;
  const Owned dy = Normal(DType::kFloat32, {60, c.out}, 13);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(3);
    Stream stream{isa, &pool};
    Owned grad(DType::kFloat32, {c.experts, PackedPanels(c.out), c.in, 32});
    GroupedMatmulWeightGrad(
        stream, {.x = c.x, .row_index = c.index, .offsets = c.offsets, .dy = dy, .grad = grad});
    for (int64_t e = 0; e < c.experts; ++e) {
      const int64_t begin = static_cast<int64_t>(c.offsets.Get(e)),
                    end = static_cast<int64_t>(c.offsets.Get(e + 1));
      Owned rows(DType::kFloat32, {std::max<int64_t>(end - begin, 1), c.in}),
          expected(DType::kFloat32, {1, PackedPanels(c.out), c.in, 32});
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t k = 0; k < c.in; ++k) {
          rows.Put((r - begin) * c.in + k,
                   c.x.Get(static_cast<int64_t>(c.index.Get(r)) * c.in + k));
        }
      }
      Stream best = BestStream();
      if (end > begin)
        MatmulWeightGrad(
            best, {.x = rows, .dy = dy.view.Rows(begin, end - begin), .grad = Dense(expected)});
      EXPECT_EQ(0, std::memcmp(expected.view.data, grad.view.Rows(e, 1).data, expected.bytes()))
          << e;
    }
  }
}

TEST(TransposePacked, GivesTheInputGradientOfAProduct) {
  const int64_t in = 37, out = 41;
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    Stream stream{isa, nullptr};
    const Owned w = Normal(DType::kFloat32, {2, in, out}, 14), packed = Pack(w, 2, in, out);
    Owned transposed(DType::kFloat32, {2, PackedPanels(in), out, 32});
    TransposePacked(stream, {.weight = packed, .transposed = transposed, .in = in, .out = out});
    const Owned plain = Unpack(transposed, 2, out, in);
    for (int64_t e = 0; e < 2; ++e) {
      for (int64_t k = 0; k < in; ++k) {
        for (int64_t c = 0; c < out; ++c) {
          ASSERT_EQ(plain.Get((e * out + c) * in + k), w.Get((e * in + k) * out + c));
        }
      }
    }
  }
}

TEST(MatmulBackward, MatchesFiniteDifferences) {
  Owned x = Normal(DType::kFloat64, {4, 6}, 15), w = Normal(DType::kFloat64, {1, 6, 9}, 16);
  Owned bias = Normal(DType::kFloat64, {9}, 18), residual = Normal(DType::kFloat64, {4, 9}, 19);
  const Owned dy = Normal(DType::kFloat64, {4, 9}, 17);
  Stream stream = BestStream();
  const auto loss = [&] {
    Owned y(DType::kFloat64, {4, 9});
    const Owned weight = Pack(w, 1, 6, 9);
    Matmul(stream, {.x = x, .weight = Dense(weight), .bias = bias, .residual = residual, .out = y});
    double sum = 0;
    for (int64_t i = 0; i < y.view.elements(); ++i) sum += y.Get(i) * dy.Get(i);
    return sum;
  };
  const Owned packed = Pack(w, 1, 6, 9);
  Owned transposed(DType::kFloat64, {1, PackedPanels(6), 9, 32}),
      grad(DType::kFloat64, {1, PackedPanels(9), 6, 32});
  TransposePacked(stream, {.weight = packed, .transposed = transposed, .in = 6, .out = 9});
  EXPECT_TRUE(testing::GradientMatches(x, Product(stream, dy, transposed, 6), loss));
  MatmulWeightGrad(stream, {.x = x, .dy = dy, .grad = Dense(grad)});
  EXPECT_TRUE(testing::GradientMatches(w, Unpack(grad, 1, 6, 9), loss));
  // A bias has no operator of its own: its gradient is the column sum; a residual's is dy.
  Owned column_sums(DType::kFloat64, {9});
  for (int64_t i = 0; i < 36; ++i) column_sums.Put(i % 9, column_sums.Get(i % 9) + dy.Get(i));
  EXPECT_TRUE(testing::GradientMatches(bias, column_sums, loss));
  EXPECT_TRUE(testing::GradientMatches(residual, dy, loss));
}

}  // namespace
}  // namespace grouper
