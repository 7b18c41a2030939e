// The prompts of a run, as a pure function of the ordinal: generated tasks, or the rows of a JSONL
// file in a new order each epoch. No reading position has to be saved, so none can be lost. One
// thread, because the order of the last epoch is cached.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"
#include "proto/trace.pb.h"
#include "rl/data/data_rows.h"

namespace grouper {

// Makes a prompt from a row of a data set.
Prompt PromptOfRow(const DataRow& row, uint64_t ordinal);

// kUser when `data`, a value of data.train or data.eval, names the built-in tasks and reward.rubric
// lacks one of the two sets of rules that their prompts name.
void CheckTaskRubrics(const std::string& data, const Config& config);

class PromptSet {
 public:
  // Reads data.train. The tokenizer outlives the set. kUser names file, line or field.
  PromptSet(const Config& config, const Tokenizer& tokenizer);

  Prompt At(uint64_t ordinal) const;
  // At most n held-out prompts (0: all; of the built-in tasks 200) with ordinals 0, 1, ...: those
  // of data.eval, or if that is empty, the lines of data.train that data.holdout_every keeps out,
  // or none.
  std::vector<Prompt> EvalPrompts(int64_t n) const;
  // The names in reward.rubric by which no prompt of data.train and none of `held_out` is scored.
  std::vector<std::string> UnusedRubrics(std::span<const Prompt> held_out) const;
  // At most `most` of the training prompts, in the order of the file and evenly spaced; of
  // generated prompts the first 64.
  std::vector<Prompt> TasksToCheck(int64_t most) const;
  int64_t rows() const {
    return static_cast<int64_t>(train_.rows.size());
  }  // 0: generated without end
  int64_t skipped() const { return train_.skipped; }
  const std::vector<std::string>& skip_reasons() const { return train_.skip_reasons; }
  // What decides the training prompts: the file's SHA-256 in hexadecimal, or the name of generated
  // prompts.
  const std::string& content() const { return generated_ ? config_.data().train() : train_.sha256; }

 private:
  Config config_;
  const Tokenizer& tokenizer_;
  bool generated_ = false;
  DataRows train_;
  mutable uint64_t epoch_ = ~uint64_t{0};
  mutable std::vector<uint32_t> order_;
};

}  // namespace grouper
