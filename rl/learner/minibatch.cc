#include "rl/learner/minibatch.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace grouper {
namespace {

void Permute(uint64_t seed, int64_t step, std::vector<TrainSequence>* sequences) {
  PhiloxSequence random(seed, RandomStream::kMinibatchPermutation, static_cast<uint64_t>(step));
  for (size_t i = sequences->size(); i > 1; --i) {
    std::swap((*sequences)[i - 1],
              (*sequences)[static_cast<size_t>(random.Uniform(0, static_cast<int64_t>(i) - 1))]);
  }
}

}  // namespace

void CheckMinibatches(const Config& config) {
  const int64_t minibatches = config.batch().minibatches();
  if (minibatches == 1) return;
  const bool by_group = config.batch().split() == BatchConfig::BY_GROUP;
  const int64_t dealt = config.prompts_per_step() * (by_group ? 1 : config.group_size());
  USER_CHECK(dealt % minibatches == 0,
             by_group ? "[config] with batch.split BY_GROUP, batch.minibatches must divide "
                        "prompts_per_step"
                      : "[config] batch.minibatches must divide the outputs of a step, which are "
                        "prompts_per_step * group_size",
             Named("batch.minibatches", minibatches),
             Named(by_group ? "prompts_per_step" : "outputs", dealt));
  const SamplingConfig& sampling = config.sampling();
  USER_CHECK(
      sampling.top_k() == 0 && sampling.top_p() >= 1 && sampling.min_p() <= 0,
      "[config] after the first of several minibatches the weights have changed, and a filter "
      "would "
      "keep other tokens than those that were sampled from: set sampling.top_k, top_p and min_p to "
      "0, 1 and 0, or batch.minibatches to 1",
      Named("batch.minibatches", minibatches));
}

std::vector<std::vector<TrainSequence>> SplitStep(const Config& config, int64_t step,
                                                  std::vector<TrainSequence> sequences) {
  std::sort(sequences.begin(), sequences.end(), [](const TrainSequence& a, const TrainSequence& b) {
    return a.rollout_id < b.rollout_id;
  });
  const size_t count = static_cast<size_t>(config.batch().minibatches());
  if (count > 1 && config.batch().split() == BatchConfig::BY_OUTPUT) {
    Permute(config.seed(), step, &sequences);
  }
  CHECK(sequences.size() % count == 0,
        "[minibatch] the outputs of a step cannot be divided evenly among its minibatches",
        Named("outputs", sequences.size()), Named("minibatches", count));
  const size_t size = sequences.size() / count;
  std::vector<std::vector<TrainSequence>> minibatches(count);
  for (size_t m = 0; m < count; ++m) {
    const auto first = sequences.begin() + static_cast<std::ptrdiff_t>(m * size);
    minibatches[m].assign(std::make_move_iterator(first),
                          std::make_move_iterator(first + static_cast<std::ptrdiff_t>(size)));
    SortCanonically(&minibatches[m]);
  }
  return minibatches;
}

}  // namespace grouper
