#include "rl/data/prompt_template.h"

#include <string_view>

#include "base/error.h"

namespace grouper {
namespace {

constexpr std::string_view kSlot = "{question}", kThink = "<think>", kEndThink = "</think>";

// The index after the last character that is no blank.
size_t EndOfText(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? 0 : last + 1;
}

// The template may also name the tags in its instructions, so only tags at its very end count.
std::string PrefillOf(std::string_view after) {
  std::string_view text = after.substr(0, EndOfText(after));
  if (text.ends_with(kEndThink)) {
    text.remove_suffix(kEndThink.size());
    text = text.substr(0, EndOfText(text));
  }
  if (!text.ends_with(kThink)) return "";
  return std::string(after.substr(text.size() - kThink.size()));
}

}  // namespace

std::vector<int32_t> EncodeTrusted(const std::string& text, const DataConfig& data,
                                   const Tokenizer& tokenizer) {
  return data.tags_as_tokens() ? tokenizer.EncodeWithTags(text) : tokenizer.Encode(text, false);
}

PromptTemplate::PromptTemplate(const DataConfig& data) : data_(data) {
  const std::string& pattern = data.prompt_template();
  const size_t at = pattern.find(kSlot);
  USER_CHECK(at != std::string::npos, "[data] data.prompt_template must contain {question}",
             Named("data.prompt_template", Excerpt(pattern, 200)));
  before_ = pattern.substr(0, at);
  after_ = pattern.substr(at + kSlot.size());
  prefill_ = PrefillOf(after_);
}

TemplatedPrompt PromptTemplate::Fill(const std::string& question,
                                     const Tokenizer& tokenizer) const {
  TemplatedPrompt prompt{.text = before_ + question + after_, .ids = {tokenizer.bos()}};
  const auto add = [&](const std::vector<int32_t>& ids) {
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  };
  add(EncodeTrusted(before_, data_, tokenizer));
  add(tokenizer.Encode(question, false));
  add(EncodeTrusted(after_, data_, tokenizer));
  return prompt;
}

}  // namespace grouper
