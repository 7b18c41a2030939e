// Which samples become rows of supervised data (r1.md 1, stages 1 and 3): right, whole, in one
// language, without loops, each once. Pure functions on text, any thread; the duplicates' memory is
// one object of one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// Share of words that are not in the most frequent script. A word is a run of letters of one
// script (Han and Kana: one character); one letter alone is a variable and a word behind a
// backslash a command of LaTeX: neither counts. 0 for text without words.
double OtherScriptShare(std::string_view text);

// 1 - distinct / all n-grams of words between white space (a Han or Kana character is a word of its
// own); 0 below n words.
double RepeatedShare(std::string_view text, int ngram);

// Characters of the longest stretch between blank lines.
int64_t LongestParagraph(std::string_view text);

// A line that opens with ``` or ~~~.
bool HasCodeBlock(std::string_view text);

// For comparing: ASCII letters small, runs of white space one blank, none at the ends.
std::string NormalizedText(std::string_view text);

// Why a scored member of a group is no row, "" when it is one: "not_scored", "wrong", "truncated",
// "not_utf8", "empty", "too_short", "too_long", "other_script", "repetition", "long_paragraph",
// "code_block". Duplicates are not looked at.
std::string DropReason(const Group& group, int member, const SampleConfig& config);

// kUser for settings that cannot be meant.
void CheckSampleConfig(const SampleConfig& config);

// Remembers 16 bytes of SHA-256 of what passed.
class SeenSamples {
 public:
  // "duplicate_ids": the same tokens behind the same prompt came before; "duplicate_text": the same
  // normalised text did; "" and remembered otherwise.
  std::string Add(const Prompt& prompt, const Completion& completion);

 private:
  std::unordered_set<std::string> seen_;
};

}  // namespace grouper
