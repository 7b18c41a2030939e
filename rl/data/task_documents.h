// Supervised text for the quickstart's first two stages. Base documents teach arithmetic, but no
// tags and no rule for stopping. Demonstrations teach the format and bad habits: half of them guess
// without thinking and others stop early, so that reinforcement learning has something to improve.
#pragma once

#include <cstdint>
#include <vector>

#include "rl/data/tasks.h"

namespace grouper {

struct Document {
  std::vector<int32_t> ids;
  std::vector<uint8_t> loss_mask;  // per id, 1: a target of the loss; the first id never is
};

Document MakeBaseDocument(uint64_t seed, uint64_t index, const Tokenizer& tokenizer);

struct Demonstration {
  Document document;
  bool right = false;  // the answer is the problem's
};
Demonstration MakeDemonstration(uint64_t seed, uint64_t index, const Tokenizer& tokenizer);

}  // namespace grouper
