// Decides which samples become rows of supervised data (DeepSeek-R1, arXiv:2501.12948, cold start
// and rejection sampling; docs/formats.md, "Sampled rows"): those that are right, complete, in one
// language, without repetitions, each only once. The functions are pure and may be called from any
// thread; SeenSamples belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "proto/config.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

// The share of words that are not in the most frequent script. A word is a run of letters of one
// script; each Han or Kana character is a word of its own. A single letter is a variable and a word
// after a backslash is a LaTeX command, so these do not count. 0 for text without words.
double OtherScriptShare(std::string_view text);

// 1 - (distinct n-grams) / (all n-grams) of the words. Words are separated by white space; each Han
// or Kana character is a word of its own. 0 for texts of fewer than n words.
double RepeatedShare(std::string_view text, int ngram);

// The number of characters of the longest paragraph. Blank lines separate paragraphs.
int64_t LongestParagraph(std::string_view text);

// True when a line begins with ``` or ~~~.
bool HasCodeBlock(std::string_view text);

// The text in the form in which texts are compared: ASCII letters in lower case, every run of white
// space as one blank, none at the ends.
std::string NormalizedText(std::string_view text);

// The reason why a member of a group does not become a row, or "" when it does: "not_scored",
// "wrong", "truncated", "not_utf8", "empty", "too_short", "too_long", "other_script", "repetition",
// "long_paragraph", "code_block". This function does not look for duplicates.
std::string DropReason(const Group& group, int member, const SampleConfig& config);

// Throws kUser for settings that make no sense.
void CheckSampleConfig(const SampleConfig& config);

// Finds duplicates. It remembers 16 bytes of SHA-256 for each sample that passed.
class SeenSamples {
 public:
  // Returns "duplicate_ids" when the same tokens came before for the same prompt, and
  // "duplicate_text" when the same normalised text did. Otherwise remembers the sample, returns "".
  std::string Add(const Prompt& prompt, const Completion& completion);

 private:
  std::unordered_set<std::string> seen_;
};

}  // namespace grouper
