// Tests each filter at its border, on texts whose figures are known by hand, and duplicates by
// tokens and by text.
#include "rl/rejection_sampling/sample_filter.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "rl/rejection_sampling/streamed_text.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using Score = reward::v1::ScoreResult;

TEST(OtherScriptShare, CountsWordsOfAllButTheMainScript) {
  EXPECT_EQ(OtherScriptShare(""), 0);
  EXPECT_EQ(OtherScriptShare("12 + 30 = 42"), 0);
  EXPECT_EQ(OtherScriptShare("two and two is four"), 0);
  EXPECT_DOUBLE_EQ(OtherScriptShare("so the answer \xD0\xBE\xD1\x82\xD0\xB2\xD0\xB5\xD1\x82"), 0.25)
      << "one of four words is Cyrillic";
  EXPECT_DOUBLE_EQ(OtherScriptShare("the \xE7\xAD\x94\xE6\xA1\x88 is"), 0.5)
      << "two Han characters, two words";
}

TEST(OtherScriptShare, VariablesAndCommandsAreNoWords) {
  EXPECT_EQ(OtherScriptShare("let \xCE\xB1 be an angle"), 0) << "one letter is a variable";
  EXPECT_EQ(OtherScriptShare("\xE8\xAE\xBE x \xE4\xB8\xBA \\frac{1}{2} \\sqrt{y}"), 0);
  EXPECT_GT(OtherScriptShare("\xE8\xAE\xBE frac \xE4\xB8\xBA"), 0.3);
  EXPECT_EQ(OtherScriptShare("\xFF\xFE\xC3"), 0) << "bytes that are no text";
}

TEST(RepeatedShare, IsTheShareOfNGramsThatCameBefore) {
  EXPECT_EQ(RepeatedShare("", 2), 0);
  EXPECT_EQ(RepeatedShare("a", 2), 0);
  EXPECT_EQ(RepeatedShare("a b c d", 2), 0);
  EXPECT_DOUBLE_EQ(RepeatedShare("a b a b a b", 2), 1 - 2.0 / 5);
  EXPECT_DOUBLE_EQ(RepeatedShare("a\nb  a\tb a b", 2), 1 - 2.0 / 5) << "any white space";
  EXPECT_DOUBLE_EQ(RepeatedShare("\xE5\xA5\xBD\xE5\xA5\xBD\xE5\xA5\xBD", 1), 1 - 1.0 / 3)
      << "Han characters are words of their own";
}

TEST(Paragraphs, AreWhatStandsBetweenBlankLines) {
  EXPECT_EQ(LongestParagraph(""), 0);
  EXPECT_EQ(LongestParagraph("abc"), 3);
  EXPECT_EQ(LongestParagraph("abc\nde\n \t\nfghi\n"), 5);
  EXPECT_EQ(LongestParagraph("\xE5\xA5\xBD\xE5\xA5\xBD"), 2) << "characters, not bytes";
}

TEST(CodeBlocks, OpenAtTheStartOfALine) {
  EXPECT_TRUE(HasCodeBlock("so:\n  ```python\nprint(1)\n```"));
  EXPECT_TRUE(HasCodeBlock("~~~"));
  EXPECT_FALSE(HasCodeBlock("in `f` and ``g``, or a ``` inside a line"));
}

class DropReasonTest : public ::testing::Test {
 protected:
  DropReasonTest() {
    Completion* c = group_.add_completions();
    c->set_text("two and two is four");
    for (uint32_t id = 0; id < 6; ++id) c->add_ids(id);
    c->set_finish_reason(Completion::STOP);
    Score* score = group_.add_scores();
    score->set_status(Score::SCORED);
    score->set_verdict(Score::CORRECT);
  }
  std::string Reason() { return DropReason(group_, 0, config_); }
  Completion& completion() { return *group_.mutable_completions(0); }
  Score& score() { return *group_.mutable_scores(0); }

  Group group_;
  SampleConfig config_;
};

TEST_F(DropReasonTest, EachAtItsBorder) {
  EXPECT_EQ(Reason(), "");
  config_.set_min_tokens(6);
  config_.set_max_tokens(6);
  EXPECT_EQ(Reason(), "");
  config_.set_min_tokens(7);
  EXPECT_EQ(Reason(), "too_short");
  config_.set_min_tokens(1);
  config_.set_max_tokens(5);
  EXPECT_EQ(Reason(), "too_long");
  config_.set_max_tokens(0);
  config_.set_max_paragraph(19);
  EXPECT_EQ(Reason(), "");
  config_.set_max_paragraph(18);
  EXPECT_EQ(Reason(), "long_paragraph");
  config_.set_max_paragraph(0);
  completion().set_text("aa \xD0\xBE\xD1\x82");
  config_.set_max_other_script(0.5);
  EXPECT_EQ(Reason(), "");
  config_.set_max_other_script(0.49);
  EXPECT_EQ(Reason(), "other_script");
  completion().set_text("a a a");
  config_.set_ngram(1);
  config_.set_max_repetition(0.6);
  EXPECT_EQ(Reason(), "repetition");
  config_.set_max_repetition(1);
  EXPECT_EQ(Reason(), "");
  completion().set_text("```");
  EXPECT_EQ(Reason(), "");
  config_.set_drop_code_blocks(true);
  EXPECT_EQ(Reason(), "code_block");
  completion().set_text("\xC3");
  EXPECT_EQ(Reason(), "not_utf8");
  completion().set_text(" \n");
  EXPECT_EQ(Reason(), "empty");
}

TEST_F(DropReasonTest, AFailureOfTheScorerIsNoWrongAnswer) {
  score().set_verdict(Score::WRONG);
  EXPECT_EQ(Reason(), "wrong");
  config_.set_only_right(false);
  EXPECT_EQ(Reason(), "");
  completion().set_finish_reason(Completion::LENGTH);
  EXPECT_EQ(Reason(), "truncated");
  score().set_status(Score::TIMEOUT);
  EXPECT_EQ(Reason(), "not_scored") << "also where wrong answers are wanted";
}

TEST(SeenSamples, ByTokensAndByTextOfOnePrompt) {
  Prompt one, two;
  one.set_text("1+1?");
  two.set_text("2+0?");
  const auto sample = [](const std::string& text, std::vector<uint32_t> ids) {
    Completion c;
    c.set_text(text);
    c.mutable_ids()->Add(ids.begin(), ids.end());
    return c;
  };
  SeenSamples seen;
  EXPECT_EQ(seen.Add(one, sample("It is 2", {1, 2})), "");
  EXPECT_EQ(seen.Add(one, sample("It is 2", {1, 2})), "duplicate_ids");
  EXPECT_EQ(seen.Add(one, sample(" it  IS\n2", {3, 2})), "duplicate_text");
  EXPECT_EQ(seen.Add(one, sample("It is two", {4})), "");
  EXPECT_EQ(seen.Add(two, sample("It is 2", {1, 2})), "") << "another question";
}

TEST(SampleConfig, RefusesAnEmptyRangeOfLengths) {
  SampleConfig config;
  EXPECT_NO_THROW(CheckSampleConfig(config));
  config.set_min_tokens(9);
  config.set_max_tokens(8);
  const std::string message = testing_support::UserErrorOf([&] { CheckSampleConfig(config); });
  EXPECT_NE(message.find("sample.max_tokens"), std::string::npos) << message;
  config.set_max_tokens(0);
  EXPECT_NO_THROW(CheckSampleConfig(config)) << "no limit";
}

TEST(StreamedText, ShowsWholeCharactersAndEscapesWhatATerminalWouldObey) {
  StreamedText stream;
  EXPECT_EQ(stream.Add("a\n"), "a\n");
  EXPECT_EQ(stream.Add("\xE5\xA5"), "") << "held until it is whole";
  EXPECT_EQ(stream.Add("\xBD!"), "\xE5\xA5\xBD!");
  EXPECT_EQ(stream.Add("\x1B[31m"), "\\x1B[31m");
  EXPECT_EQ(stream.Add("\xE2\x80"), "");
  EXPECT_EQ(stream.Add("\xAE"), "\\u202E");
  EXPECT_EQ(stream.Add("\xF0\x9F"), "");
  EXPECT_EQ(stream.Add("x"), "\\xF0\\x9Fx");
  EXPECT_EQ(stream.Add("\xC3"), "");
  EXPECT_EQ(stream.Finish(), "\\xC3");
  EXPECT_EQ(stream.Finish(), "");
}

// The same is shown, however the text is cut into pieces.
TEST(StreamedText, PiecesDoNotMatter) {
  const std::string text = "ab\xE5\xA5\xBD\x1B]0;x\x07\xF0\x9F\x98\x80\xFF\xE2\x80\x8B end\n";
  StreamedText whole;
  const std::string shown = whole.Add(text) + whole.Finish();
  for (size_t piece = 1; piece < text.size(); ++piece) {
    StreamedText stream;
    std::string out;
    for (size_t at = 0; at < text.size(); at += piece) out += stream.Add(text.substr(at, piece));
    EXPECT_EQ(out + stream.Finish(), shown) << piece;
  }
}

}  // namespace
}  // namespace grouper
