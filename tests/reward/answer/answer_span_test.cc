// Which bytes of a completion are its answer, rule by rule; what stands in no answer; floods of
// delimiters, whose result tells that the scan came to its end.
#include "reward/answer/answer_span.h"

#include <gtest/gtest.h>

#include <span>
#include <string>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

struct SpanCase {
  const char* completion;
  const char* answer;  // "!reason" where there is none
  const char* rung;
};

std::string Show(const std::string& completion, const AnswerSpan& span) {
  if (!span.found) return "!" + span.reason;
  EXPECT_LE(span.begin, span.end);
  EXPECT_LE(span.end, completion.size());
  return completion.substr(span.begin, span.end - span.begin);
}

void Check(std::span<const SpanCase> cases, const std::string& rubric) {
  for (const SpanCase& c : cases) {
    const AnswerSpan span = FindAnswer(c.completion, "", RubricOf(rubric));
    EXPECT_EQ(Show(c.completion, span), c.answer) << c.completion;
    EXPECT_EQ(span.rung, c.rung) << c.completion;
  }
}

TEST(AnswerSpan, LastBox) {
  const SpanCase cases[] = {
      {"so \\boxed{5}.", "5", "boxed"},
      {"\\fbox{5}", "5", "boxed"},
      {"\\boxed {5}", "5", "boxed"},
      {"\\boxed\n{ 5 }", "5", "boxed"},
      {"\\boxed{4} \\boxed{5}", "5", "boxed"},
      {"\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "boxed"},
      {"\\boxed{\\{1\\}}", "\\{1\\}", "boxed"},
      {"\\boxed{a\\}b}", "a\\}b", "boxed"},
      {"\\boxed{\\boxed{5}}", "5", "boxed"},
      {"\\\\boxed{5}", "5", "boxed"},
      {"{{ \\boxed{5} }", "5", "boxed"},
      {"}} \\boxed{5}", "5", "boxed"},
      {"\\boxed{\xFF}", "\xFF", "boxed"},
      {"5", "!no_answer", ""},
      {"boxed{5}", "!no_answer", ""},
      {"\\boxed 5", "!no_answer", ""},
      {"\\boxedtext{5}", "!no_answer", ""},
      {"\\boxed{5", "!box_unclosed", ""},
      {"\\boxed{5\\}", "!box_unclosed", ""},
      {"\\boxed{4} \\boxed{5", "!box_unclosed", ""},
      {"\\boxed{}", "!answer_empty", ""},
      {"\\boxed{5} \\boxed{ \n}", "!answer_empty", ""},
  };
  Check(cases, "extraction: BOXED");
}

TEST(AnswerSpan, OtherBoxesAreThoseThatSaySomething) {
  const std::string text = "\\boxed{1} \\boxed{} \\boxed{2} \\boxed{ } \\boxed{3}";
  const AnswerSpan span = FindAnswer(text, "", Rubric());
  ASSERT_EQ(span.other_boxes.size(), 2u);
  EXPECT_EQ(span.other_boxes[0], "2");
  EXPECT_EQ(span.other_boxes[1], "1");
  EXPECT_EQ(FindAnswer("\\boxed{1 \\boxed{2}", "", Rubric()).other_boxes.size(), 0u);
}

TEST(AnswerSpan, LastTag) {
  const SpanCase cases[] = {
      {"<answer>5</answer>", "5", "answer_tag"},
      {"<answer>\n 5\r\n</answer> bye", "5", "answer_tag"},
      {"<answer>4</answer><answer>5</answer>", "5", "answer_tag"},
      {"<answer>4<answer>5</answer>", "5", "answer_tag"},
      {"<answer>so \\boxed{5}</answer>", "5", "answer_tag_boxed"},
      {"\\boxed{4}<answer>5</answer>\\boxed{6}", "5", "answer_tag"},
      {"<answer>5", "!tag_unclosed", ""},
      {"<answer>5</answer", "!tag_unclosed", ""},
      {"<answer>4</answer><answer>5", "!tag_unclosed", ""},
      {"<answer>\\boxed{5</answer>}", "!box_unclosed", ""},
      {"5</answer>", "!no_answer", ""},
      {"<answer> </answer>", "!answer_empty", ""},
  };
  Check(cases, "extraction: ANSWER_TAG");
}

TEST(AnswerSpan, LastLineOfHashes) {
  const SpanCase cases[] = {
      {"work\n#### 18", "18", "gsm8k"},
      {"####18\n", "18", "gsm8k"},
      {"#### 17\n#### 18\n\nmore", "18", "gsm8k"},
      {" \t#### 18\r\n", "18", "gsm8k"},
      {"**#### 18**", "18", "gsm8k"},
      {"#### **18**", "**18**", "gsm8k"},
      {"##### 18", "# 18", "gsm8k"},  // a heading: what follows is no number
      {"it is #### 18", "!no_answer", ""},
      {"### 18", "!no_answer", ""},
      {"#### 18\n####", "!answer_empty", ""},
  };
  Check(cases, "extraction: GSM8K");
}

TEST(AnswerSpan, LastLineWithTheMarker) {
  const SpanCase cases[] = {
      {"work\nAnswer: 18", "18", "line"},       {"ANSWER:18\r\nI hope so.\r\n", "18", "line"},
      {"Answer: 17\nanswer: 18", "18", "line"}, {"**Answer:** 18", "18", "line"},
      {"**Answer: 18**", "18", "line"},         {"**Answer**: 18", "18", "line"},
      {"__Answer:__ 18", "18", "line"},         {"*Answer: 18*", "18", "line"},
      {"### Answer: 18", "18", "line"},         {"### **Answer:** 18", "18", "line"},
      {"> Answer: 18", "18", "line"},           {"- Answer: 18", "18", "line"},
      {"Answer: **18**", "**18**", "line"},     {"Answer: 18 Answer: 19", "18 Answer: 19", "line"},
      {"Final Answer: 18", "!no_answer", ""},   {"so Answer: 18", "!no_answer", ""},
      {"Ans*wer: 18", "!no_answer", ""},        {"Answer 18", "!no_answer", ""},
      {"Answer:\n18", "!answer_empty", ""},
  };
  Check(cases, "extraction: LINE");
  const SpanCase hashes[] = {{"#### 18", "18", "line"}, {"** 18", "!no_answer", ""}};
  Check(hashes, "extraction: LINE marker: \"####\"");
  const SpanCase stars[] = {{"** 18", "18", "line"}, {"* 18", "!no_answer", ""}};
  Check(stars, "extraction: LINE marker: \"**\"");
}

TEST(AnswerSpan, WholeText) {
  const SpanCase cases[] = {{" 5\n", "5", "whole"},
                            {"<think>4</think>\n5", "5", "whole"},
                            {"", "!answer_empty", ""},
                            {"<think>5</think>", "!answer_empty", ""}};
  Check(cases, "extraction: WHOLE");
}

TEST(AnswerSpan, ReasoningIsNeverSearched) {
  struct ThinkCase {
    const char* completion;
    const char* prefill;
    bool required;
    const char* answer;
  };
  const ThinkCase cases[] = {
      {"<think>\\boxed{4}</think>\\boxed{5}", "", false, "5"},
      {"<think>\\boxed{5}</think> done", "", false, "!no_answer"},
      {"<think>\\boxed{5}", "", false, "!think_unclosed"},
      {"\\boxed{5}", "<think>\n", false, "!think_unclosed"},
      {"a</think>\\boxed{5}", "<think>\n", false, "5"},
      {"a</think>\\boxed{4}</think>\\boxed{5}", "<think>\n", false, "5"},
      {"</think>\\boxed{5}<think>", "", false, "!think_unclosed"},
      {"\\boxed{5}", "<think></think>", false, "5"},
      {"\\boxed{5}", "<think></think>", true, "5"},
      {"\\boxed{5}", "", false, "5"},
      {"\\boxed{5}", "", true, "!think_unclosed"},
      {"a</think>\\boxed{5}", "", true, "5"},
      {"\\boxed{\\boxed{4}</think>5}", "", false, "!no_answer"},
  };
  for (const ThinkCase& c : cases) {
    Rubric rubric;
    rubric.set_think_required(c.required);
    EXPECT_EQ(Show(c.completion, FindAnswer(c.completion, c.prefill, rubric)), c.answer)
        << c.prefill << c.completion;
  }
}

TEST(AnswerSpan, OnlyTheTailIsSearched) {
  const std::string box = "\\boxed{5}";
  const std::string fits = box + std::string(kAnswerTailBytes - box.size(), ' ');
  EXPECT_EQ(Show(fits, FindAnswer(fits, "", Rubric())), "5");
  EXPECT_EQ(Show(fits + " ", FindAnswer(fits + " ", "", Rubric())), "!no_answer");
  const std::string far = std::string(1 << 20, 'x') + box;
  const AnswerSpan span = FindAnswer(far, "", Rubric());
  EXPECT_EQ(span.begin, far.size() - 2);
  // Thinking is seen in all of the text.
  const std::string open = "<think>" + far;
  EXPECT_EQ(Show(open, FindAnswer(open, "", Rubric())), "!think_unclosed");
}

std::string Repeat(const std::string& piece, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  return text;
}

TEST(AnswerSpan, FloodsOfDelimitersComeToAnEnd) {
  constexpr size_t kBytes = 1 << 20;
  const Rubric boxed = RubricOf("extraction: BOXED");
  const Rubric tag = RubricOf("extraction: ANSWER_TAG");
  const Rubric line = RubricOf("extraction: LINE");
  const auto found = [](const std::string& text, const Rubric& rubric) {
    return Show(text, FindAnswer(text, "", rubric));
  };
  EXPECT_EQ(found(Repeat("\\boxed{", kBytes), boxed), "!box_unclosed");
  EXPECT_EQ(found(Repeat("{", kBytes) + "\\boxed{5}", boxed), "5");
  EXPECT_EQ(found("\\boxed{5}" + Repeat("}", kAnswerTailBytes / 2), boxed), "5");
  EXPECT_EQ(found(Repeat("\\", kBytes + 1) + "boxed{5}", boxed), "5");
  EXPECT_EQ(found(Repeat("<answer>", kBytes), tag), "!tag_unclosed");
  EXPECT_EQ(found(Repeat("<", kBytes) + "<answer>5</answer>", tag), "5");
  EXPECT_EQ(found(Repeat("</answer>", kBytes), tag), "!no_answer");
  EXPECT_EQ(found(Repeat("\n", kBytes) + "Answer: 5", line), "5");
  EXPECT_EQ(found("Answer: 5" + Repeat("\n", kAnswerTailBytes / 2), line), "5");
  EXPECT_EQ(found(Repeat("*", kBytes), line), "!no_answer");
  EXPECT_EQ(found(Repeat("Answer\n", kBytes), line), "!no_answer");
  EXPECT_EQ(found(Repeat("<think>", kBytes), boxed), "!think_unclosed");
  EXPECT_EQ(found(Repeat("</think>", kBytes) + "\\boxed{5}", boxed), "5");
  const std::string nested = Repeat("\\boxed{", 7000) + "5" + std::string(1000, '}');
  EXPECT_EQ(FindAnswer(nested, "", boxed).other_boxes.size(), 999u);
}

TEST(AnswerSpan, FindLastFindsTheLast) {
  EXPECT_EQ(FindLast("", "ab"), std::string_view::npos);
  EXPECT_EQ(FindLast("a", "ab"), std::string_view::npos);
  EXPECT_EQ(FindLast("ab", "ab"), 0u);
  EXPECT_EQ(FindLast("abab", "ab"), 2u);
  EXPECT_EQ(FindLast("aba", "ab"), 0u);
  EXPECT_EQ(FindLast("ba", "ab"), std::string_view::npos);
}

}  // namespace
}  // namespace grouper
