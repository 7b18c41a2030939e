#include "base/random.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

namespace grouper {
namespace {

constexpr uint64_t kSeed = 0x0123456789abcdefu;

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox4x32(0, 0, {0, 0, 0, 0}),
            (PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(Philox4x32(kOnes, kOnes, {kOnes, kOnes, kOnes, kOnes}),
            (PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32(0xa4093822, 0x299f31d0, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Key: seed low, high. Counter: position, stream and draw, object low, high (docs/numerics.md 7).
// The words come from an implementation of the paper in another language.
TEST(PhiloxAt, AddressLayout) {
  EXPECT_EQ(PhiloxAt(kSeed, RandomStream::kEvaluation, 0x1122334455667788u, 7, 9),
            (PhiloxWords{0x889fe7b0, 0xbd6d6e1e, 0x8c705fea, 0x82ee1d7d}));
  EXPECT_EQ(PhiloxAt(kSeed, RandomStream::kEvaluation, 0x1122334455667788u, 7, 9),
            Philox4x32(0x89abcdef, 0x01234567, {7, (5u << 24) | 9, 0x55667788, 0x11223344}));
}

// Results of finished runs depend on these numbers, so they may not change.
TEST(RandomStream, NumbersAreFixed) {
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kTokenSampling), 0u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kMinibatchPermutation), 1u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kInitialWeights), 2u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kStochasticRounding), 3u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kDataOrder), 4u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kEvaluation), 5u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kTaskGeneration), 6u);
  EXPECT_EQ(static_cast<uint32_t>(RandomStream::kRewardShuffle), 7u);
}

TEST(PhiloxAt, EveryPartOfTheAddressCounts) {
  const auto at = [](uint64_t seed, RandomStream stream, uint64_t object, uint32_t position,
                     uint32_t draw) { return PhiloxAt(seed, stream, object, position, draw); };
  constexpr auto kSampling = RandomStream::kTokenSampling;
  const std::set<PhiloxWords> all = {
      at(1, kSampling, 0, 0, 0),
      at(uint64_t{1} << 32, kSampling, 0, 0, 0),
      at(1, RandomStream::kDataOrder, 0, 0, 0),
      at(1, kSampling, 1, 0, 0),
      at(1, kSampling, uint64_t{1} << 32, 0, 0),
      at(1, kSampling, 0, 1, 0),
      at(1, kSampling, 0, 0, 1),
      at(1, kSampling, 0, 0, (1u << 24) - 1),
  };
  EXPECT_EQ(all.size(), 8u);
}

TEST(PhiloxSequence, HandsOutTheWordsOfPositionsZeroOneTwo) {
  PhiloxSequence sequence(kSeed, RandomStream::kTaskGeneration, 3);
  const uint32_t wanted[] = {0x85b2a796, 0x1b40a342, 0xdb053d19, 0xec8cf4d6,
                             0xc9e5929c, 0xae9eb5e4, 0x5c5eb0e3, 0x66856dfe};
  for (const uint32_t word : wanted) EXPECT_EQ(sequence.Next(), word);
}

// Every value of a small range comes about equally often, the borders among them.
TEST(PhiloxSequence, UniformReachesBothBordersAndIsFlat) {
  PhiloxSequence random(1, RandomStream::kTaskGeneration, 0);
  std::map<int64_t, int> count;
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) ++count[random.Uniform(-3, 3)];
  ASSERT_EQ(count.size(), 7u);
  EXPECT_EQ(count.begin()->first, -3);
  EXPECT_EQ(count.rbegin()->first, 3);
  double chi_square = 0;
  for (const auto& [value, seen] : count) {
    const double off = seen - kDraws / 7.0;
    chi_square += off * off / (kDraws / 7.0);
  }
  EXPECT_LT(chi_square, 22.5);  // 6 degrees of freedom, p = 0.001; the seed is fixed
}

TEST(PhiloxSequence, UniformOfOneValueAndOfAllWords) {
  PhiloxSequence random(2, RandomStream::kTaskGeneration, 0), words = random;
  EXPECT_EQ(random.Uniform(5, 5), 5);
  EXPECT_EQ(words.Uniform(0, 0), 0);
  constexpr int64_t kLow = std::numeric_limits<int32_t>::min();
  constexpr int64_t kHigh = std::numeric_limits<int32_t>::max();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(random.Uniform(kLow, kHigh), kLow + static_cast<int64_t>(words.Next()));
  }
}

TEST(PhiloxSequence, UnitIsTheWordOver2To32) {
  PhiloxSequence random(3, RandomStream::kTaskGeneration, 0), words = random;
  for (int i = 0; i < 1000; ++i) {
    const double unit = random.Unit();
    EXPECT_EQ(unit, words.Next() / 4294967296.0);
    EXPECT_GE(unit, 0.0);
    EXPECT_LT(unit, 1.0);
  }
}

}  // namespace
}  // namespace grouper
