#include "rl/experience/reward_shuffle.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/random.h"

namespace grouper {
namespace {

struct Place {
  reward::v1::ScoreResult* score;
  size_t group;
  double truth;
  uint32_t random;
};

// The number nearest to n divided by the golden ratio that has no common factor with n. Steps of
// this length around a ring of n places visit all of them, and any run of visits is spread evenly.
size_t GoldenStride(size_t n) {
  size_t stride = static_cast<size_t>(static_cast<double>(n) * 0.6180339887498949);
  while (std::gcd(stride, n) != 1) ++stride;
  return stride;
}

}  // namespace

void ShuffleRewards(uint64_t seed, int64_t step, std::vector<Group>* groups) {
  PhiloxSequence random(seed, RandomStream::kRewardShuffle, static_cast<uint64_t>(step));
  std::vector<Place> places;
  std::vector<double> rewards;
  for (size_t g = 0; g < groups->size(); ++g) {
    for (reward::v1::ScoreResult& score : *(*groups)[g].mutable_scores()) {
      if (!score.has_reward()) continue;
      places.push_back({&score, g, score.reward(), random.Next()});
      rewards.push_back(score.reward());
    }
  }
  if (places.empty()) return;
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.truth, a.group, a.random) < std::tie(b.truth, b.group, b.random);
  });
  std::sort(rewards.begin(), rewards.end());
  const size_t stride = GoldenStride(rewards.size());
  size_t at = static_cast<size_t>(random.Uniform(0, static_cast<int64_t>(rewards.size()) - 1));
  for (const Place& place : places) {
    place.score->set_reward(rewards[at]);
    at = (at + stride) % rewards.size();
  }
}

}  // namespace grouper
