// The reward components other than accuracy: pure functions of text and counts
// (docs/algorithms.md 2).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "proto/rubric.pb.h"

namespace grouper {

// 1 when the completion has exactly one <think> at its start (or the prefill opens it), exactly one
// </think>, a non-empty answer behind it and no other such tag; with ANSWER_TAG exactly one
// <answer>...</answer> directly behind </think> and only white space after it. A truncated
// completion has no end, hence no format: 0.
double FormatValue(std::string_view completion, std::string_view prefill, bool truncated,
                   const Rubric& rubric);

// DAPO eq. 13: 0 up to max - ramp tokens, then linear down to -1 at max, -1 beyond.
double OverlongValue(int64_t tokens, int64_t max_tokens, int64_t ramp_tokens);

// - (1 - unique n-grams / n-grams) over blank-separated words; 0 with fewer than n words.
double RepetitionValue(std::string_view completion, int ngram);

// Kimi k1.5, over a whole group: lambda = 0.5 - (L - min) / (max - min); right: lambda, wrong:
// min(0, lambda); 0 where all lengths are equal. right: 0 or 1, one a length.
std::vector<double> LengthValues(std::span<const int64_t> tokens, std::span<const char> right);

}  // namespace grouper
