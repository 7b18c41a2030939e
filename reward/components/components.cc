#include "reward/components/components.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

namespace grouper {
namespace {

size_t Count(std::string_view text, std::string_view tag) {
  size_t n = 0;
  for (size_t at = text.find(tag); at != std::string_view::npos;
       at = text.find(tag, at + tag.size()))
    ++n;
  return n;
}

bool Blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; });
}

std::string_view SkipBlank(std::string_view text) {
  while (!text.empty() && Blank(text.substr(0, 1))) text.remove_prefix(1);
  return text;
}

}  // namespace

double FormatValue(std::string_view completion, std::string_view prefill, bool truncated,
                   const Rubric& rubric) {
  constexpr std::string_view kThink = "<think>", kEnd = "</think>";
  constexpr std::string_view kAnswer = "<answer>", kAnswerEnd = "</answer>";
  if (truncated) return 0;
  const bool by_template = Count(prefill, kThink) == 1 && Count(prefill, kEnd) == 0;
  const std::string_view text = SkipBlank(completion);
  if (Count(text, kThink) != (by_template ? 0u : 1u) || Count(text, kEnd) != 1) return 0;
  if (!by_template && text.substr(0, kThink.size()) != kThink) return 0;
  const std::string_view rest = text.substr(text.find(kEnd) + kEnd.size());
  if (rubric.extraction() != Rubric::ANSWER_TAG) {
    return !Blank(rest) && Count(text, kAnswer) == 0 && Count(text, kAnswerEnd) == 0 ? 1 : 0;
  }
  if (Count(text, kAnswer) != 1 || Count(text, kAnswerEnd) != 1) return 0;
  const size_t open = rest.find(kAnswer), close = rest.find(kAnswerEnd);
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return 0;
  const std::string_view inside = rest.substr(open + kAnswer.size(), close - open - kAnswer.size());
  return Blank(rest.substr(0, open)) && !Blank(inside) &&
                 Blank(rest.substr(close + kAnswerEnd.size()))
             ? 1
             : 0;
}

double OverlongValue(int64_t tokens, int64_t max_tokens, int64_t ramp_tokens) {
  if (tokens <= max_tokens - ramp_tokens) return 0;
  if (tokens > max_tokens || ramp_tokens <= 0) return -1;
  return static_cast<double>(max_tokens - ramp_tokens - tokens) / static_cast<double>(ramp_tokens);
}

double RepetitionValue(std::string_view completion, int ngram) {
  // The words with one blank after each. An n-gram is a view of this text, never a copy.
  std::string text;
  std::vector<size_t> starts;
  for (size_t at = 0; at < completion.size();) {
    while (at < completion.size() && Blank(completion.substr(at, 1))) ++at;
    const size_t begin = at;
    while (at < completion.size() && !Blank(completion.substr(at, 1))) ++at;
    if (at == begin) continue;
    starts.push_back(text.size());
    text.append(completion.substr(begin, at - begin)).push_back('\n');
  }
  const size_t n = static_cast<size_t>(std::max(ngram, 1));
  if (starts.size() < n) return 0;
  const size_t grams = starts.size() - n + 1;
  starts.push_back(text.size());
  std::unordered_set<std::string_view> unique;
  for (size_t i = 0; i < grams; ++i)
    unique.insert(std::string_view(text).substr(starts[i], starts[i + n] - starts[i]));
  return -(1 - static_cast<double>(unique.size()) / static_cast<double>(grams));
}

std::vector<double> LengthValues(std::span<const int64_t> tokens, std::span<const char> right) {
  std::vector<double> values(tokens.size(), 0.0);
  if (tokens.empty()) return values;
  const auto [low, high] = std::minmax_element(tokens.begin(), tokens.end());
  if (*low == *high) return values;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double lambda =
        0.5 - static_cast<double>(tokens[i] - *low) / static_cast<double>(*high - *low);
    values[i] = right[i] != 0 ? lambda : std::min(0.0, lambda);
  }
  return values;
}

}  // namespace grouper
