// The documents of supervised training, as a pure function of the step: generated ("tasks:base",
// "tasks:demonstrations"), or rows of a JSONL file (the prompt, then the answer field and <eos>,
// with the loss on the answer) in a new order each epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "rl/data/task_documents.h"

namespace grouper {

class DocumentSet {
 public:
  // Reads or generates all documents. kUser, naming file, line or field, for bad rows and for a
  // document that is longer than policy.max_positions.
  DocumentSet(const Config& config, const Tokenizer& tokenizer);
  // Documents [step * count, (step + 1) * count) of the endless epochs.
  std::vector<Document> Batch(int64_t step, int64_t count) const;
  int64_t size() const { return static_cast<int64_t>(documents_.size()); }
  int64_t skipped() const { return skipped_; }
  const std::vector<std::string>& skip_reasons() const { return skip_reasons_; }
  // What decides the documents: the file's SHA-256 in hexadecimal, or the name of generated ones.
  const std::string& content() const { return content_; }

 private:
  void ReadRows(const Config& config, const Tokenizer& tokenizer);

  uint64_t seed_;
  std::vector<Document> documents_;
  int64_t skipped_ = 0;
  std::vector<std::string> skip_reasons_;
  std::string content_;
  mutable uint64_t epoch_ = ~uint64_t{0};
  mutable std::vector<uint32_t> order_;
};

}  // namespace grouper
