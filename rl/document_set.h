// Supervised documents as a pure function of the step: generated ("tasks:base",
// "tasks:demonstrations") or rows of a JSONL file (prompt, then the answer field and <eos>; loss on
// the answer), permuted anew each epoch.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/config.pb.h"
#include "rl/task_documents.h"

namespace grouper {

class DocumentSet {
 public:
  DocumentSet(const Config& config, const Tokenizer& tokenizer);
  // Documents [step * count, (step + 1) * count) of the endless epochs.
  std::vector<Document> Batch(int64_t step, int64_t count) const;
  int64_t size() const { return static_cast<int64_t>(documents_.size()); }
  int64_t skipped() const { return skipped_; }

 private:
  uint64_t seed_;
  std::vector<Document> documents_;
  int64_t skipped_ = 0;
  mutable uint64_t epoch_ = ~uint64_t{0};
  mutable std::vector<uint32_t> order_;
};

}  // namespace grouper
