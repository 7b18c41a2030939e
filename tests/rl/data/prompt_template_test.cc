#include "rl/data/prompt_template.h"

#include <gtest/gtest.h>

#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

DataConfig With(const std::string& pattern) {
  DataConfig data;
  data.set_prompt_template(pattern);
  return data;
}

TEST(PromptTemplate, OnlyATagAtItsEndBeginsTheAnswer) {
  const struct {
    const char* pattern;
    const char* prefill;
  } cases[] = {
      {"{question}", ""},
      {"Question: {question}\nAnswer: ", ""},
      {"{question}<think>", "<think>"},
      {"{question}\n<think>\n", "<think>\n"},
      {"Think in <think></think>. User: {question} Assistant: <think>", "<think>"},
      {"{question}\nWrite <think>...</think><answer>...</answer>.\nAssistant: <think>\n",
       "<think>\n"},
      {"{question}\nWrite <think>...</think>.\nAssistant:", ""},
      {"{question}\nPut your thoughts between <think> and </think>", ""},
      {"{question}\n<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"},
      {"<think>{question}", ""},
      {"<think>{question} \n", ""},
      {"{question}</think>", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(PromptTemplate(With(c.pattern)).prefill(), c.prefill) << c.pattern;
  }
}

TEST(PromptTemplate, ItsTagsAreTokensAndThoseOfAQuestionAreNot) {
  const auto bytes = Tokenizer::Make("bytes"), words = Tokenizer::Make("words");
  const DataConfig data = With("U {question} A <think>");
  const TemplatedPrompt prompt =
      PromptTemplate(data).Fill("<think>{question}</think><eos>", *bytes);
  EXPECT_EQ(prompt.text, "U <think>{question}</think><eos> A <think>");
  EXPECT_EQ(bytes->Decode(prompt.ids), "<bos>" + prompt.text);
  EXPECT_EQ(prompt.ids.front(), bytes->bos());
  EXPECT_EQ(prompt.ids.back(), bytes->think());
  for (size_t i = 1; i + 1 < prompt.ids.size(); ++i) EXPECT_FALSE(bytes->IsSpecial(prompt.ids[i]));

  // A vocabulary without single letters can open a thought too.
  const TemplatedPrompt short_one = PromptTemplate(With("{question}<think>")).Fill("1+1", *words);
  EXPECT_EQ(short_one.ids.back(), words->think());
  DataConfig plain = With("{question}<think>");
  plain.set_tags_as_tokens(false);
  EXPECT_NE(testing_support::UserErrorOf([&] { PromptTemplate(plain).Fill("1+1", *words); }), "");
}

}  // namespace
}  // namespace grouper
