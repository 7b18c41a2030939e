// Rows of a JSONL data set as question, answer and golds. Prompts (for reinforcement learning and
// evaluation) and documents (for supervised training) are made from them. Bad rows, and rows that
// do not fit the context, are refused, or skipped and counted (data.on_bad).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"

namespace grouper {

struct DataRow {
  std::string where;                // "train.jsonl:12"
  std::string question;             // as the file has it
  std::string prompt;               // template applied
  std::string prefill;              // the end of the prompt with which the answer begins
  std::vector<int32_t> prompt_ids;  // with <bos>
  std::string answer;               // the whole answer field; may be empty when there are golds
  std::vector<int32_t> answer_ids;  // documents: the answer's tokens, as sampled or encoded
  std::string rubric;               // name of an entry of reward.rubric; empty for documents
  bool names_rubric = false;        // the row itself does
  std::vector<std::string> golds;   // what a grader compares with; empty for documents
};

inline constexpr size_t kMostReasons = 8;

struct DataRows {
  std::vector<DataRow> rows;
  int64_t skipped = 0;
  std::vector<std::string> skip_reasons;  // "path:line: words" of the first kMostReasons
  std::string sha256;                     // of the file
};

enum class RowPart { kTraining, kHeldOut, kAll };  // by data.holdout_every

struct DataRequest {
  std::string path;
  std::string setting;  // names the file in errors: "data.train"
  RowPart part = RowPart::kAll;
  int64_t room_tokens = 0;  // positions that must stay free after the prompt
  // True for documents: the answer must fit into the context, and golds are not read.
  bool with_answer = false;
};

// Reads the rows. For documents, the answer's tokens are the row's "answer_ids" (the answer field's
// name with _ids), which rows of `grouper sample` carry so that nothing is encoded again; without
// that field they are the tokens of its text (data.tags_as_tokens). For prompts, the golds are the
// row's "golds", a list of texts, or else the text after data.gold_after in the answer field,
// without blanks around it. The row's rubric is that of data.rubric_field. data.max_rows counts
// good rows. kUser "path:line: words" for a bad row, unless data.on_bad is SKIP; also for a config
// that fits no row and for a file that cannot be read twice. Only the held-out part may be empty.
DataRows ReadDataRows(const DataRequest& request, const Config& config, const Tokenizer& tokenizer);

// The rows in the order of an epoch: a Fisher-Yates shuffle with Philox stream 4 and the epoch as
// object.
std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch, size_t rows);

}  // namespace grouper
