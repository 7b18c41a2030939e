// Supervised documents as a pure function of the step: generated ("tasks:base",
// "tasks:demonstrations") or rows of a JSONL file (prompt, then the answer field and <eos>; loss on
// the answer), permuted anew each epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "rl/data/task_documents.h"

namespace grouper {

class DocumentSet {
 public:
  // Reads or makes all documents. kUser names file, line or field, also when a document is longer
  // than policy.max_positions.
  DocumentSet(const Config& config, const Tokenizer& tokenizer);
  // Documents [step * count, (step + 1) * count) of the endless epochs.
  std::vector<Document> Batch(int64_t step, int64_t count) const;
  int64_t size() const { return static_cast<int64_t>(documents_.size()); }
  int64_t skipped() const { return skipped_; }
  const std::vector<std::string>& skip_reasons() const { return skip_reasons_; }
  // Of the file in hexadecimal; empty for generated documents.
  const std::string& sha256() const { return sha256_; }

 private:
  void ReadRows(const Config& config, const Tokenizer& tokenizer);

  uint64_t seed_;
  std::vector<Document> documents_;
  int64_t skipped_ = 0;
  std::vector<std::string> skip_reasons_;
  std::string sha256_;
  mutable uint64_t epoch_ = ~uint64_t{0};
  mutable std::vector<uint32_t> order_;
};

}  // namespace grouper
