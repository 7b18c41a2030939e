#include "rollout/generator.h"

#include "base/error.h"

namespace grouper {

std::vector<int32_t> StopIdsOf(const SamplingConfig& config, const Tokenizer& tokenizer) {
  std::vector<int32_t> stop_ids;
  for (const std::string& text : config.stop_tokens()) {
    const std::vector<int32_t> ids = tokenizer.Encode(text, true);
    USER_CHECK(ids.size() == 1,
               "[config] each text of sampling.stop_tokens must be one token; correct this one",
               Named("text", Excerpt(text, 100)), Named("tokens", ids.size()));
    stop_ids.push_back(ids[0]);
  }
  return stop_ids;
}

}  // namespace grouper
