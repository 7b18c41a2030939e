#include "reward/math/number.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "reward/math/number_token.h"
#include "reward/math/numeral.h"
#include "reward/math/unit.h"
#include "reward/math/unit_words.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;
using State = ParsedNumber::State;

constexpr size_t kMostTokens = 4096;

bool IsGreekName(std::string_view command) {
  static constexpr std::array<std::string_view, 24> kNames = {
      "\\alpha", "\\beta",   "\\gamma", "\\delta", "\\epsilon", "\\varepsilon",
      "\\zeta",  "\\eta",    "\\theta", "\\iota",  "\\kappa",   "\\lambda",
      "\\mu",    "\\nu",     "\\xi",    "\\rho",   "\\sigma",   "\\tau",
      "\\phi",   "\\varphi", "\\chi",   "\\psi",   "\\omega",   "\\Delta"};
  return std::find(kNames.begin(), kNames.end(), command) != kNames.end();
}

class Reader : private NumeralReader {
 public:
  using NumeralReader::NumeralReader;

  ParsedNumber Read() {
    ParsedNumber number;
    if (!Whole(&number)) {
      number = ParsedNumber();
      number.state = over_budget_ ? State::kOverBudget : State::kUnparsable;
      number.several = NamesSeveral();
    }
    return number;
  }

 private:
  bool Whole(ParsedNumber* number) {
    if (tokens_.size() > kMostTokens) return OverBudget();
    SkipBlank();
    Assignment(&number->variable);
    bool signed_already = false;
    bool negative = Sign(&signed_already);
    std::string unit_before = Currency();
    if (!unit_before.empty() && !signed_already) negative = Sign(&signed_already);
    Magnitude m;
    if (!ReadMagnitude(&m)) return false;
    if (!ScaleWords(&m)) return false;
    if (m.value.exponent > kExactExponent || m.value.exponent < -kExactExponent)
      return OverBudget();
    if (!m.value.Fits()) return OverBudget();
    if (Percent()) {
      number->percent = true;
      if (!unit_before.empty() || !Is(Kind::kEnd, BehindBlank())) return false;
    }
    std::string unit_after;
    if (!ReadUnit(std::span(tokens_).subspan(at_), &unit_after)) return false;
    if (!unit_before.empty() && unit_after.substr(0, unit_before.size()) == unit_before) {
      unit_before.clear();  // "$5 dollars"
    }
    number->unit = unit_before;
    if (!unit_after.empty()) {
      if (!unit_before.empty() && unit_after[0] != '/') number->unit += ' ';
      number->unit += unit_after;
    }
    number->value = negative ? Negate(std::move(m.value)) : std::move(m.value);
    number->integer = m.integer;
    number->decimal = m.decimal;
    number->last_place = m.last_place;
    number->state = State::kNumber;
    return true;
  }

  // "x =", "x_1 =", "\theta =": one variable alone on the left; "=" alone is read over.
  void Assignment(std::string* variable) {
    const size_t back = at_;
    const NumberToken& first = Peek();
    std::string name;
    if ((first.kind == Kind::kWord && first.text.size() == 1) ||
        (first.kind == Kind::kOther && IsGreekName(first.text))) {
      name = first.text;
      ++at_;
      if (Peek().kind == Kind::kOther && Peek().text == "_") {
        ++at_;
        const bool braced = Take(Kind::kOpen);
        if (!Is(Kind::kDigits) && !Is(Kind::kWord)) name.clear();
        if (!name.empty()) name += "_" + std::string(Peek().text);
        ++at_;
        if (braced && !Take(Kind::kClose)) name.clear();
      }
      SkipBlank();
    }
    const bool named = !name.empty() || at_ == back;
    if (named && Take(Kind::kEquals)) {
      *variable = name;
      SkipBlank();
    } else {
      at_ = back;
    }
  }

  std::string Currency() {
    std::string_view unit;
    size_t ahead = 1;
    if (Is(Kind::kCurrency)) {
      unit = CurrencyUnit(Peek().text);
    } else if (Is(Kind::kWord)) {
      unit = CurrencyUnit(Peek().text);
      if (Peek().text == "US" && Is(Kind::kCurrency, 1)) unit = CurrencyUnit(Peek(ahead++).text);
      if (Is(Kind::kPoint, ahead) && !Is(Kind::kDigits, ahead + 1)) ++ahead;  // "Rs. 5"
    }
    if (unit.empty()) return "";
    at_ += ahead;
    SkipBlank();
    return std::string(unit);
  }

  bool Percent() {
    const size_t ahead = BehindBlank();
    if (Is(Kind::kPercent, ahead)) {
      at_ += ahead + 1;
      return true;
    }
    if (Is(Kind::kText, ahead) && Is(Kind::kOpen, ahead + 1)) {
      const size_t inside = BehindBlank(ahead + 2);
      const size_t close = BehindBlank(inside + 1);
      const bool word = Is(Kind::kWord, inside) && IsPercentWord(Peek(inside).text);
      if ((word || Is(Kind::kPercent, inside)) && Is(Kind::kClose, close)) {
        at_ += close + 1;
        return true;
      }
      return false;
    }
    if (!Is(Kind::kWord, ahead)) return false;
    if (IsPercentWord(Peek(ahead).text)) {
      at_ += ahead + 1;
      return true;
    }
    if (Peek(ahead).text == "per" && Is(Kind::kBlank, ahead + 1) && Is(Kind::kWord, ahead + 2) &&
        Peek(ahead + 2).text == "cent") {
      at_ += ahead + 3;
      return true;
    }
    return false;
  }

  static bool IsPercentWord(std::string_view word) {
    return word == "percent" || word == "Percent" || word == "pct";
  }

  bool NamesSeveral() const {
    size_t numbers = 0;
    bool joined = false;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const NumberToken& token = tokens_[i];
      if (token.kind == Kind::kDigits) ++numbers;
      if (token.kind == Kind::kOther && (token.text == "\\pm" || token.text == "\u00B1"))
        return true;
      joined = joined ||
               (token.kind == Kind::kWord && (token.text == "or" || token.text == "and")) ||
               (token.kind == Kind::kOther && token.text == ";") ||
               (token.kind == Kind::kComma && tokens_[i + 1].kind == Kind::kBlank);
    }
    return joined && numbers >= 2;
  }
};

}  // namespace

ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric) {
  return Reader(SplitNumberTokens(StripDecoration(text)), rubric.decimal_comma()).Read();
}

}  // namespace grouper
