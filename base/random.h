// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): counter-based,
// so a number is a function of its address and does not depend on earlier draws. Host and device
// code.
#pragma once

#include <array>
#include <cstdint>

namespace grouper {

// The word in the counter that says what a number is for (docs/numerics.md 7).
enum class RandomStream : uint32_t {
  kTokenSampling = 0,
  kMinibatchPermutation = 1,
  kInitialWeights = 2,
  kStochasticRounding = 3,
  kDataOrder = 4,
  kEvaluation = 5,
  kTaskGeneration = 6,
  kRewardShuffle = 7,  // rewards dealt out at random: the control run of learning tests
};

using PhiloxWords = std::array<uint32_t, 4>;

// The raw block function: key (low, high), counter words 0..3.
constexpr PhiloxWords Philox4x32(uint32_t key0, uint32_t key1, PhiloxWords c) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

// The number at (seed, stream, object, position, draw). For token sampling object is the rollout id
// and position the absolute index of the drawn token; for the other streams see
// docs/numerics.md 7. draw < 2^24.
constexpr PhiloxWords PhiloxAt(uint64_t seed, RandomStream stream, uint64_t object,
                               uint32_t position, uint32_t draw = 0) {
  return Philox4x32(static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                    {position, (static_cast<uint32_t>(stream) << 24) | draw,
                     static_cast<uint32_t>(object), static_cast<uint32_t>(object >> 32)});
}

// Draws 0, 1, 2, ... of one (seed, stream, object): for generators of tasks and data orders.
class PhiloxSequence {
 public:
  PhiloxSequence(uint64_t seed, RandomStream stream, uint64_t object)
      : seed_(seed), stream_(stream), object_(object) {}

  uint32_t Next() {
    if (used_ == 4) {
      words_ = PhiloxAt(seed_, stream_, object_, position_++);
      used_ = 0;
    }
    return words_[used_++];
  }
  // Uniform integer in [low, high], by the high half of a 64-bit product.
  int64_t Uniform(int64_t low, int64_t high) {
    const uint64_t span = static_cast<uint64_t>(high - low) + 1;  // < 2^32 here
    return low + static_cast<int64_t>((uint64_t{Next()} * span) >> 32);
  }
  // Uniform in [0, 1), 32 bits.
  double Unit() { return Next() * 0x1p-32; }

 private:
  uint64_t seed_;
  RandomStream stream_;
  uint64_t object_;
  uint32_t position_ = 0;
  uint32_t used_ = 4;
  PhiloxWords words_{};
};

}  // namespace grouper
