// data.prompt_template: how a question becomes a prompt, and the text with which the template lets
// the answer begin.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"

namespace grouper {

struct TemplatedPrompt {
  std::string text;          // the template with the question in it
  std::vector<int32_t> ids;  // <bos> and the tokens of the text
};

// Encodes text that the author of a config or a teacher wrote: the tags of thought and answer
// become their tokens if data.tags_as_tokens allows it. kUser when a part cannot be encoded.
std::vector<int32_t> EncodeTrusted(const std::string& text, const DataConfig& data,
                                   const Tokenizer& tokenizer);

class PromptTemplate {
 public:
  // kUser when the template has no {question}.
  explicit PromptTemplate(const DataConfig& data);

  // A question is text of others: nothing in it becomes a special token, and braces in it stay as
  // they are. kUser when a part of the text cannot be encoded.
  TemplatedPrompt Fill(const std::string& question, const Tokenizer& tokenizer) const;

  // The end of the template with which the answer already begins: "<think>" with the blanks after
  // it if the template ends in this tag, "<think></think>" with blanks if it ends in an empty
  // thought, otherwise nothing. Graders read it as the beginning of every completion.
  const std::string& prefill() const { return prefill_; }

 private:
  DataConfig data_;
  std::string before_, after_;  // the question
  std::string prefill_;
};

}  // namespace grouper
