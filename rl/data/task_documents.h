// Supervised text for the quickstart's first two stages. Base documents know arithmetic but no tags
// and no stopping rule; demonstrations have the format and bad habits: half of them do not think
// and guess, others stop early, so that there is something for RL to find.
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
