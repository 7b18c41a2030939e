// Rows of a JSONL data set as question, answer and golds: what prompts (RL, evaluation) and
// documents (SFT) are made from. Bad rows and rows that do not fit the context are refused, or
// skipped and counted (data.on_bad).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/tokenizer.h"
#include "proto/config.pb.h"

namespace grouper {

struct DataRow {
  std::string where;                // "train.jsonl:12"
  std::string prompt;               // template applied
  std::vector<int32_t> prompt_ids;  // with <bos>
  std::string answer;               // the whole answer field
  std::vector<std::string> golds;   // what a grader compares with
};

struct DataRows {
  std::vector<DataRow> rows;
  int64_t skipped = 0;
  std::string sha256;  // of the file
};

// `room_tokens`: positions that must stay free behind the prompt; with_answer: the answer must fit
// there too. kUser "path:line: field ...: words" on a bad row unless data.on_bad is SKIP.
DataRows ReadDataRows(const std::string& path, const std::string& setting, const Config& config,
                      const Tokenizer& tokenizer, int64_t room_tokens, bool with_answer);

// The rows in the order of an epoch: Philox stream 4, object the epoch, Fisher and Yates.
std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch, size_t rows);

}  // namespace grouper
