#include "kernels/norm/rms_norm.h"

#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

Owned Forward(Stream stream, const Owned& x, const Owned& gain) {
  Owned out(x.view.dtype, {x.view.shape[0], x.view.shape[1]});
  RmsNorm(stream, {.x = x, .gain = gain, .out = out, .eps = 1e-6});
  return out;
}

TEST(RmsNorm, MatchesTheFormula) {
  for (int64_t width : {1, 8, 16, 64, 100, 256, 300, 1000}) {
    const Owned x = Normal(DType::kFloat32, {5, width}, 1),
                gain = Normal(DType::kFloat32, {width}, 2);
    Owned expected(DType::kFloat32, {5, width});
    for (int64_t t = 0; t < 5; ++t) {
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) squares += x.Get(t * width + i) * x.Get(t * width + i);
      const double inv = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-6);
      for (int64_t i = 0; i < width; ++i) {
        expected.Put(t * width + i, x.Get(t * width + i) * inv * gain.Get(i));
      }
    }
    EXPECT_TRUE(testing::Near(Forward(BestStream(), x, gain), expected, 1e-6)) << width;
  }
}

// The tree of row_tree.h written out: element i is in tree lane i mod 256, each lane is one chain,
// lanes are added by bits 7 to 0. Then the roundings that rms_norm.h states.
TEST(RmsNorm, IsTheStatedTreeBitForBit) {
  for (int64_t width : {1, 16, 33, 64, 65, 100, 255, 256, 257, 300, 777, 1024}) {
    const Owned x = Normal(DType::kFloat32, {2, width}, 11),
                gain = Normal(DType::kFloat32, {width}, 12);
    Owned expected(DType::kFloat32, {2, width});
    for (int64_t t = 0; t < 2; ++t) {
      std::vector<float> lane(256, 0.0f);
      for (int64_t i = 0; i < width; ++i) {
        const float v = static_cast<float>(x.Get(t * width + i));
        float& chain = lane[static_cast<size_t>(i % 256)];
        chain = std::fmaf(v, v, chain);
      }
      for (size_t half = 128; half > 0; half /= 2) {
        for (size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
      }
      const float mean = std::fmaf(lane[0], 1.0f / static_cast<float>(width), 1e-6f);
      const float inv = 1.0f / std::sqrt(mean);
      for (int64_t i = 0; i < width; ++i) {
        const float y = static_cast<float>(x.Get(t * width + i)) * inv;
        expected.Put(t * width + i, static_cast<double>(y * static_cast<float>(gain.Get(i))));
      }
    }
    EXPECT_TRUE(SameBits(Forward(BestStream(), x, gain), expected)) << width;
  }
}

TEST(RmsNorm, RowsDoNotSeeEachOtherAndInstructionSetsAgree) {
  const int64_t rows = 70, width = 200;
  const Owned x = Normal(DType::kFloat32, {rows, width}, 3),
              gain = Normal(DType::kFloat32, {width}, 4);
  const Owned all = Forward(BestStream(), x, gain);
  for (int64_t t = 0; t < rows; ++t) {
    Owned row(DType::kFloat32, {1, width});
    std::memcpy(row.view.data, x.view.Rows(t, 1).data, row.bytes());
    const Owned alone = Forward(BestStream(), row, gain);
    EXPECT_EQ(0, std::memcmp(alone.view.data, all.view.Rows(t, 1).data, alone.bytes())) << t;
  }
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(3);
    EXPECT_TRUE(SameBits(Forward({isa, &pool}, x, gain), all)) << cpu::NameOf(isa);
  }
}

struct Backward {
  Owned dx, dgain;
};
Backward RunBackward(Stream stream, const Owned& x, const Owned& gain, const Owned& dy) {
  const DType dtype = x.view.dtype;
  Backward r{Owned(dtype, {x.view.shape[0], x.view.shape[1]}), Owned(dtype, {x.view.shape[1]})};
  Owned inv(dtype, {x.view.shape[0]});
  RmsNormBackward(stream,
                  {.x = x, .gain = gain, .dy = dy, .dx = r.dx, .dgain = r.dgain, .inv = inv});
  return r;
}

// A row of any width is written to its end and not beyond, on every instruction set.
TEST(RmsNorm, LeavesWhatLiesBehindARowAlone) {
  for (int64_t width = 1; width < 40; ++width) {
    const Owned x = Normal(DType::kFloat32, {2, width}, 13),
                gain = Normal(DType::kFloat32, {width}, 14);
    const Owned expected = Forward(BestStream(), x, gain);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      Owned wide(DType::kFloat32, {2, 48});
      for (int64_t i = 0; i < 96; ++i) wide.Put(i, 7);
      Tensor out = wide;
      out.shape[1] = width;
      Stream stream{isa, nullptr};
      RmsNorm(stream, {.x = x, .gain = gain, .out = out, .eps = 1e-6});
      for (int64_t i = 0; i < 96; ++i) {
        const int64_t column = i % 48;
        EXPECT_EQ(wide.Get(i), column < width ? expected.Get(i / 48 * width + column) : 7)
            << width << " " << i << " " << cpu::NameOf(isa);
      }
    }
  }
}

TEST(RmsNormBackward, MatchesFiniteDifferences) {
  Owned x = Normal(DType::kFloat64, {3, 20}, 5), gain = Normal(DType::kFloat64, {20}, 6);
  const Owned dy = Normal(DType::kFloat64, {3, 20}, 7);
  const Backward grads = RunBackward(BestStream(), x, gain, dy);
  const auto loss = [&] {
    const Owned out = Forward(BestStream(), x, gain);
    double sum = 0;
    for (int64_t i = 0; i < out.view.elements(); ++i) sum += out.Get(i) * dy.Get(i);
    return sum;
  };
  EXPECT_TRUE(testing::GradientMatches(x, grads.dx, loss));
  EXPECT_TRUE(testing::GradientMatches(gain, grads.dgain, loss));
}

TEST(RmsNormBackward, CutsAndInstructionSetsGiveTheSameBits) {
  const Owned x = Normal(DType::kFloat32, {50, 72}, 8), gain = Normal(DType::kFloat32, {72}, 9);
  const Owned dy = Normal(DType::kFloat32, {50, 72}, 10);
  const Backward whole = RunBackward(BestStream(), x, gain, dy);
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    cpu::ThreadPool pool(2);
    Stream stream{isa, &pool};
    Backward cut{Owned(DType::kFloat32, {50, 72}), Owned(DType::kFloat32, {72})};
    Owned inv(DType::kFloat32, {50});
    for (auto [begin, count] : {std::pair<int64_t, int64_t>{0, 17}, {17, 1}, {18, 32}}) {
      RmsNormBackward(stream, {.x = x.view.Rows(begin, count),
                               .gain = gain,
                               .dy = dy.view.Rows(begin, count),
                               .dx = cut.dx.view.Rows(begin, count),
                               .dgain = cut.dgain,
                               .inv = inv.view.Rows(0, count)});
    }
    EXPECT_TRUE(SameBits(cut.dx, whole.dx)) << cpu::NameOf(isa);
    EXPECT_TRUE(SameBits(cut.dgain, whole.dgain)) << cpu::NameOf(isa);
  }
}

}  // namespace
}  // namespace grouper
