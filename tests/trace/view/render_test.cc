#include "trace/view/render.h"

#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/io/json.h"
#include "gtest/gtest.h"
#include "proto/expert_ids.h"
#include "tests/trace/sample_run.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

struct EscapeCase {
  std::string bytes;
  std::string shown;
};

// What a hostile completion may try on a terminal.
const std::vector<EscapeCase>& HostileCases() {
  static const std::vector<EscapeCase> cases = {
      {"\x1b[2J\x1b[H", "\\x1B[2J\\x1B[H"},                                      // clear the screen
      {"\x1b]0;owned\x07", "\\x1B]0;owned\\x07"},                                // window title
      {"\x1b]52;c;cm0gLXJm\x07", "\\x1B]52;c;cm0gLXJm\\x07"},                    // clipboard
      {"\x1b]8;;http://e.example\x1b\\x", "\\x1B]8;;http://e.example\\x1B\\x"},  // link
      {"\x1b[31mred\x1b[0m", "\\x1B[31mred\\x1B[0m"},
      {"\x1bP1$r\x1b\\", "\\x1BP1$r\\x1B\\"},  // device control string
      {"\x1b"
       "c",
       "\\x1B"
       "c"},              // reset
      {"a\rb", "a\\rb"},  // overwrite the line
      {"a\bb",
       "a\\x08"
       "b"},
      {"\a", "\\x07"},
      {std::string("a\0b", 3),
       "a\\x00"
       "b"},
      {"\x7f", "\\x7F"},
      {"\x0e\x0f", "\\x0E\\x0F"},  // character sets
      {"\f\v", "\\x0C\\x0B"},
      {"a\tb", "a\\tb"},
      {"\xc2\x9b"
       "31m",
       "\\u009B31m"},  // C1 CSI in UTF-8
      {"\xc2\x85", "\\u0085"},
      {"\x9b"
       "31m",
       "\\x9B31m"},  // C1 CSI as a raw byte
      {"\xe2\x80\xae"
       "evil",
       "\\u202Eevil"},  // right-to-left override
      {"\xe2\x80\xaa\xe2\x80\xac", "\\u202A\\u202C"},
      {"\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069"},  // isolates
      {"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\u200E\\u200F\\u061C"},
      {"a\xe2\x80\x8b"
       "b",
       "a\\u200Bb"},  // zero width
      {"\xe2\x80\x8c\xe2\x80\x8d\xe2\x81\xa0", "\\u200C\\u200D\\u2060"},
      {"\xef\xbb\xbf", "\\uFEFF"},
      {"\xc2\xad", "\\u00AD"},
      {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
      {"\xf3\xa0\x81\x81", "\\U000E0041"},  // tag characters
      {"\xff\xfe", "\\xFF\\xFE"},
      {"\xc0\x9b", "\\xC0\\x9B"},  // overlong ESC
      {"\xe0\x80\x9b", "\\xE0\\x80\\x9B"},
      {"\xf0\x80\x80\x9b", "\\xF0\\x80\\x80\\x9B"},
      {"\xed\xa0\x80", "\\xED\\xA0\\x80"},           // surrogate
      {"\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},  // above U+10FFFF
      {"caf\xc3", "caf\\xC3"},                       // cut in a character
      {"\xe2\x82", "\\xE2\\x82"},
      {"\x80", "\\x80"},
      // Ordinary text stays as it is.
      {"plain ~!@", "plain ~!@"},
      {"\\boxed{42}", "\\boxed{42}"},
      {"caf\xc3\xa9 \xe2\x88\x9a"
       "2 \xe4\xb8\xad \xf0\x9f\x99\x82",
       "caf\xc3\xa9 \xe2\x88\x9a"
       "2 \xe4\xb8\xad \xf0\x9f\x99\x82"},
      {"%s %n %x", "%s %n %x"},
      {"", ""},
  };
  return cases;
}

TEST(Escape, HostileTextIsShownAsEscapes) {
  for (const EscapeCase& c : HostileCases()) EXPECT_EQ(EscapeForTerminal(c.bytes), c.shown);
}

TEST(Escape, OneLineOfLimitedLength) {
  EXPECT_EQ(EscapeForTerminal("a\nb"), "a\\nb");
  EXPECT_EQ(EscapeForTerminal("abcdef", 3), "abc...");
  EXPECT_EQ(EscapeForTerminal("abc", 3), "abc");
}

TEST(Escape, UnitsCoverEveryByteOnce) {
  for (const EscapeCase& c : HostileCases()) {
    size_t at = 0;
    size_t expected = 0;
    for (ShownUnit unit; NextShown(c.bytes, &at, &unit);) {
      EXPECT_EQ(unit.begin, expected);
      EXPECT_GT(unit.end, unit.begin);
      expected = unit.end;
    }
    EXPECT_EQ(expected, c.bytes.size());
  }
}

TEST(Escape, JsonKeepsItsMeaning) {
  for (const EscapeCase& c : HostileCases()) {
    std::string json;
    AppendJsonString(&json, c.bytes);
    const std::string safe = EscapeJson(json);
    EXPECT_EQ(ParseJson(safe, "safe").text, ParseJson(json, "plain").text) << safe;
    EXPECT_EQ(EscapeForTerminal(safe), safe);
  }
}

std::string Rendered(const Group& group, const RenderOptions& options = {}) {
  std::ostringstream out;
  RenderGroup({.index_in_step = 1, .group = group}, options, out);
  return out.str();
}

TEST(Render, ShowsWhatAPersonAsksFor) {
  const std::string text = Rendered(SampleGroup(12, 99));
  for (const char* words :
       {"step 12  group 1  prompt 99  task calc:99", "1 CORRECT, 1 NO_ANSWER, 1 TIMEOUT",
        "reward mean 0.5", "gold \"42\"", "\n  17 + 25 = ?\n", "prefill \"<think>\"",
        "completion 0, rollout 297: reward 1  CORRECT (equal)  advantage 0.707107",
        "components  correct=1  format=0.5", "answer \"42\" by rule boxed, bytes [10, 12)",
        "finish STOP  policy 11  tokens 14", "\n  so \\boxed{42}\n",
        "rollout 298: reward 0  NO_ANSWER (no_answer)  advantage -0.707107", "\n  hm\n  wait\n",
        "finish LENGTH", "rollout 299: reward -  TIMEOUT (deadline)"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Render, OneRolloutAndItsTokens) {
  RenderOptions options;
  options.tokens = true;
  options.rollout_id = 298;
  const std::string text = Rendered(SampleGroup(12, 99), options);
  EXPECT_EQ(text.find("rollout 297"), std::string::npos);
  EXPECT_NE(text.find("rollout 298"), std::string::npos);
  // token, id, log-prob, entropy, text, experts
  const std::string row = "    2   10  -0.750000  1.000000  \"\\n\"  2 3 0 1\n";
  EXPECT_NE(text.find("\n" + row), std::string::npos) << text;
}

TEST(Render, ColoursFollowTheArray) {
  EXPECT_EQ(LogProbBackground(0.0f), 0);
  EXPECT_EQ(LogProbBackground(-0.0f), 0);
  EXPECT_EQ(LogProbBackground(-6.0f), LogProbBackground(-100.0f));
  EXPECT_NE(LogProbBackground(-1.0f), LogProbBackground(-5.0f));
  EXPECT_EQ(EntropyBackground(0.0f), 0);
  EXPECT_NE(EntropyBackground(0.5f), EntropyBackground(2.9f));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(LogProbBackground(nan), EntropyBackground(nan));
  EXPECT_EQ(LogProbBackground(-std::numeric_limits<float>::infinity()), LogProbBackground(-6.0f));

  Group group = SampleGroup(0, 0);
  Completion* completion = group.mutable_completions(2);  // "x", stop
  completion->set_rollout_log_probs(0, -6.0f);
  completion->set_entropies(0, 0.0f);
  const std::string red = "\x1b[48;5;196m\x1b[38;5;16mx\x1b[0m";
  EXPECT_NE(Rendered(group, {.color = TokenColor::kLogProb}).find(red), std::string::npos);
  EXPECT_EQ(Rendered(group, {.color = TokenColor::kEntropy}).find(red), std::string::npos);
}

// A character of three bytes in three tokens is shown whole, in the colour of its first byte.
TEST(Render, CharactersAcrossTokens) {
  Group group = SampleGroup(0, 0);
  *group.mutable_completions(2) = SampleCompletion(2, "\xe2\x88\x9a", true);
  EXPECT_NE(Rendered(group).find("\n  \xe2\x88\x9a\n"), std::string::npos);
  group.mutable_completions(2)->set_rollout_log_probs(0, -6);
  EXPECT_NE(Rendered(group, {.color = TokenColor::kLogProb}).find("16m\xe2\x88\x9a\x1b[0m"),
            std::string::npos);
  const std::string tokens = Rendered(group, {.color = TokenColor::kOff, .tokens = true});
  EXPECT_NE(tokens.find("\"\\xE2\""), std::string::npos);
}

// Removes the few sequences that render.cc writes. Any other escape stays.
std::string WithoutOurColours(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    size_t length = 0;
    for (const std::string_view ours : {"\x1b[0m", "\x1b[4m", "\x1b[7m", "\x1b[38;5;16m"}) {
      if (rest.starts_with(ours)) length = ours.size();
    }
    constexpr std::string_view kBackground = "\x1b[48;5;";
    if (rest.starts_with(kBackground)) {
      const size_t end = rest.find_first_not_of("0123456789", kBackground.size());
      if (end != rest.npos && rest[end] == 'm') length = end + 1;
    }
    if (length == 0) out += rest[length++];
    at += length;
  }
  return out;
}

// Every field that another program wrote is full of controls. Nothing but our own colours may get
// through.
TEST(Render, HostileFieldsNeverReachTheTerminal) {
  for (const EscapeCase& c : HostileCases()) {
    Group group = SampleGroup(0, 0);
    Prompt* prompt = group.mutable_prompt();
    prompt->set_text(c.bytes);
    prompt->set_prefill(c.bytes);
    Completion* completion = group.mutable_completions(0);
    *completion = SampleCompletion(0, c.bytes, false);
    completion->add_ids(1);  // a token without text
    completion->add_rollout_log_probs(-1);
    // Fields of type string hold UTF-8; in memory a service's bytes can stand there all the same.
    prompt->set_task_id(c.bytes);
    prompt->set_data_source(c.bytes);
    prompt->set_rubric(c.bytes);
    prompt->mutable_math()->add_golds(c.bytes);
    reward::v1::ScoreResult* score = group.mutable_scores(0);
    score->set_reason(c.bytes);
    (*score->mutable_components())[c.bytes] = 1;
    score->mutable_extraction()->set_answer(c.bytes);
    score->mutable_extraction()->set_rung("rung" + c.bytes);
    score->add_flags(c.bytes);
    score->add_tests()->set_verdict(c.bytes);
    score->mutable_tests(0)->set_detail(c.bytes);
    for (const TokenColor color : {TokenColor::kOff, TokenColor::kLogProb, TokenColor::kEntropy}) {
      std::string text = Rendered(group, {.color = color, .tokens = true});
      if (color != TokenColor::kOff) text = WithoutOurColours(text);
      size_t at = 0;
      for (ShownUnit unit; NextShown(text, &at, &unit);) {
        ASSERT_NE(unit.kind, ShownUnit::Kind::kEscaped) << c.shown << " gave " << unit.shown;
      }
    }
  }
}

TEST(Render, MissingFramesAndOddOffsetsAreNoCrash) {
  Group group = SampleGroup(0, 0);
  group.mutable_completions(0)->clear_ids();
  EXPECT_NE(Rendered(group).find("not in this trace"), std::string::npos);
  Completion* completion = group.mutable_completions(1);
  completion->set_text_ends(1, 4000000000u);
  completion->set_text_ends(2, 0);
  completion->mutable_experts()->pop_back();
  group.mutable_scores(1)->mutable_extraction()->set_end(4000000000u);
  group.clear_advantages();
  group.mutable_scores()->RemoveLast();
  const std::string text = Rendered(group, {.color = TokenColor::kLogProb, .tokens = true});
  EXPECT_NE(text.find("no score"), std::string::npos);
}

TEST(Render, ExpertIdsOfTwoBytesAreShownAsNumbers) {
  Group group = SampleGroup(0, 0);
  Completion* completion = group.mutable_completions(0);
  completion->set_expert_id_bytes(2);
  completion->clear_experts();
  for (int i = 0; i < completion->ids_size(); ++i) {
    AppendExpertId(300 + i, 2, completion->mutable_experts());
  }
  const std::string text = Rendered(group, {.color = TokenColor::kLogProb, .tokens = true});
  EXPECT_NE(text.find(" 300\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" 301\n"), std::string::npos);
}

}  // namespace
}  // namespace grouper
