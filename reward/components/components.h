// The reward components other than accuracy: pure functions of text and counts
// (docs/algorithms.md 2).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "proto/rubric.pb.h"

namespace grouper {

// 1 if the completion has exactly one <think> at its start (or the prefill opens it), exactly one
// </think>, a non-empty answer after it and no other such tag; with ANSWER_TAG also exactly one
// <answer>...</answer> directly after </think> and only white space after that. Otherwise 0, also
// for a truncated completion, which has no end.
double FormatValue(std::string_view completion, std::string_view prefill, bool truncated,
                   const Rubric& rubric);

// DAPO (arXiv:2503.14476) eq. 13: 0 up to max - ramp tokens, then linearly down to -1 at max and
// beyond.
double OverlongValue(int64_t tokens, int64_t max_tokens, int64_t ramp_tokens);

// -(1 - unique n-grams / n-grams) of the words, which blanks separate; 0 with fewer than n words.
double RepetitionValue(std::string_view completion, int ngram);

// The length reward of Kimi k1.5 (arXiv:2501.12599) over a whole group: lambda = 0.5 - (L - min) /
// (max - min); a right answer gets lambda, a wrong one min(0, lambda), and all get 0 if all lengths
// are equal. right: 0 or 1, one per length.
std::vector<double> LengthValues(std::span<const int64_t> tokens, std::span<const char> right);

}  // namespace grouper
