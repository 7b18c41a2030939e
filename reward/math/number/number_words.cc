#include "reward/math/number/number_words.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace grouper {
namespace {

using Kind = NumberToken::Kind;

struct NumberWord {
  std::string_view word;
  int64_t value;
};

constexpr auto kSmall = std::to_array<NumberWord>(
    {{"zero", 0},     {"one", 1},      {"two", 2},        {"three", 3},     {"four", 4},
     {"five", 5},     {"six", 6},      {"seven", 7},      {"eight", 8},     {"nine", 9},
     {"ten", 10},     {"eleven", 11},  {"twelve", 12},    {"thirteen", 13}, {"fourteen", 14},
     {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17}, {"eighteen", 18}, {"nineteen", 19},
     {"twenty", 20},  {"thirty", 30},  {"forty", 40},     {"fifty", 50},    {"sixty", 60},
     {"seventy", 70}, {"eighty", 80},  {"ninety", 90}});
constexpr auto kScales =
    std::to_array<NumberWord>({{"thousand", 1000}, {"million", 1000000}, {"billion", 1000000000}});

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

class WordReader {
 public:
  explicit WordReader(std::span<const NumberToken> tokens) : tokens_(tokens) {}

  size_t Read(int64_t* value) {
    int64_t total = 0;
    int64_t scale = int64_t{1} << 40;
    size_t taken = 0;
    // Groups below a thousand, each with a smaller scale than the one before.
    while (const std::optional<int64_t> group = Group()) {
      const size_t behind = at_;
      const std::optional<int64_t> next = Next(kScales);
      if (next && (*next >= scale || *group == 0)) break;
      if (!next) at_ = behind;
      scale = next.value_or(1);
      total += *group * scale;
      taken = at_;
      if (scale == 1) break;
      Take("and");
    }
    *value = total;
    return taken;
  }

 private:
  // "five", "twenty-one", "three hundred and five".
  std::optional<int64_t> Group() {
    std::optional<int64_t> value = BelowHundred();
    if (!value || *value == 0 || *value > 9 || !Take("hundred")) return value;
    *value *= 100;
    const size_t back = at_;
    Take("and");
    const std::optional<int64_t> rest = BelowHundred();
    if (rest && *rest > 0) return *value + *rest;
    at_ = back;
    return value;
  }

  std::optional<int64_t> BelowHundred() {
    std::optional<int64_t> value = Next(kSmall);
    if (!value || *value < 20) return value;
    const size_t back = at_;
    if (tokens_[at_].kind == Kind::kMinus) ++at_;
    const std::optional<int64_t> ones = Next(kSmall);
    if (ones && *ones >= 1 && *ones <= 9) return *value + *ones;
    at_ = back;
    return value;
  }

  // The next word after an optional blank.
  std::string Word(size_t* behind) const {
    const size_t at = tokens_[at_].kind == Kind::kBlank ? at_ + 1 : at_;
    if (tokens_[at].kind != Kind::kWord) return "";
    *behind = at + 1;
    std::string word(tokens_[at].text);
    std::transform(word.begin(), word.end(), word.begin(), Lower);
    return word;
  }

  bool Take(std::string_view wanted) {
    size_t behind = 0;
    if (Word(&behind) != wanted) return false;
    at_ = behind;
    return true;
  }

  std::optional<int64_t> Next(std::span<const NumberWord> known) {
    size_t behind = 0;
    const std::string word = Word(&behind);
    for (const NumberWord& candidate : known) {
      if (candidate.word != word) continue;
      at_ = behind;
      return candidate.value;
    }
    return std::nullopt;
  }

  std::span<const NumberToken> tokens_;
  size_t at_ = 0;
};

}  // namespace

size_t ReadNumberWords(std::span<const NumberToken> tokens, int64_t* value) {
  return WordReader(tokens).Read(value);
}

}  // namespace grouper
