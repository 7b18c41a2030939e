#include "reward/math/number/number.h"

#include <span>
#include <vector>

#include "reward/math/number/equation.h"
#include "reward/math/number/number_token.h"
#include "reward/math/number/numeral.h"
#include "reward/math/number/unit.h"
#include "reward/math/number/unit_words.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;
using State = ParsedNumber::State;

constexpr size_t kMostTokens = 4096;
constexpr size_t kMostParts = 32;  // of a chain

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
      if (!unit_before.empty()) return false;
    }
    const bool share = Of();
    std::string unit_after;
    if (!ReadUnit(std::span(tokens_).subspan(at_), &unit_after)) return false;
    if (share && unit_after.empty()) return false;
    // The thing that a percentage is of is not its unit.
    if (number->percent) unit_after.clear();
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

  std::string Currency() {
    std::string_view unit;
    size_t ahead = 1;
    if (Is(Kind::kCurrency)) {
      unit = CurrencyUnit(Peek().text);
    } else if (Is(Kind::kWord)) {
      unit = CurrencyUnit(Peek().text);
      if (Is(Kind::kCurrency, 1) && Peek(1).text == "$" && Peek().text.size() <= 3) {
        unit = DollarOf(Peek().text);
        ++ahead;
      } else if (Peek().text == "US" && Is(Kind::kBlank, 1) && Is(Kind::kCurrency, 2)) {
        unit = CurrencyUnit(Peek(2).text);
        ahead = 3;
      }
      if (Is(Kind::kPoint, ahead) && !Is(Kind::kDigits, ahead + 1)) ++ahead;  // "Rs. 5"
    }
    if (unit.empty()) return "";
    at_ += ahead;
    SkipBlank();
    return std::string(unit);
  }

  // "US$", "R$", "HK$": letters that touch the sign.
  static std::string_view DollarOf(std::string_view letters) {
    if (letters == "US") return "dollar";
    if (letters == "R") return "real";
    if (letters == "C" || letters == "CA") return "cad";
    if (letters == "A" || letters == "AU") return "aud";
    return letters == "HK" || letters == "NZ" || letters == "S" ? letters : std::string_view();
  }

  // " of the", before the words that say what the number counts: "3/4 of a cup".
  bool Of() {
    if (!Is(Kind::kBlank) || !Is(Kind::kWord, 1) || Peek(1).text != "of") return false;
    at_ += 2;
    if (Is(Kind::kBlank) && Is(Kind::kWord, 1) &&
        (Peek(1).text == "a" || Peek(1).text == "an" || Peek(1).text == "the")) {
      at_ += 2;
    }
    return true;
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

ParsedNumber FromValue(ArithmeticValue calculated) {
  ParsedNumber number;
  number.state = State::kNumber;
  number.integer = calculated.value.IsInteger();
  number.value = std::move(calculated.value);
  return number;
}

ParsedNumber Refused(State state) {
  ParsedNumber number;
  number.state = state;
  return number;
}

// Reads one part of an equation. *calculated is true if the part is arithmetic and not just a
// number.
ParsedNumber ReadPart(const std::string& text, bool decimal_comma, bool* calculated) {
  *calculated = false;
  ParsedNumber number = Reader(SplitNumberTokens(text), decimal_comma).Read();
  if (number.state != State::kUnparsable || number.several) return number;
  ArithmeticValue value;
  switch (Calculate(text, decimal_comma, &value)) {
    case ArithmeticState::kUnparsable:
      return number;
    case ArithmeticState::kOverBudget:
      return Refused(State::kOverBudget);
    case ArithmeticState::kValue:
      break;
  }
  *calculated = !value.reduced;
  return FromValue(std::move(value));
}

// True if `rounded` is `exact` rounded to the last digit that it writes.
bool Rounds(const ParsedNumber& exact, const ParsedNumber& rounded) {
  const int64_t place = rounded.last_place - (rounded.percent ? 2 : 0);
  return Within(PlainValue(exact), PlainValue(rounded), *ExactFromDigits("5", place - 1));
}

// The number that a chain states, with the parts that must equal it.
ParsedNumber ReadChain(std::span<const EquationPart> parts, bool decimal_comma) {
  ParsedNumber stated;
  ParsedNumber before;
  std::vector<ParsedNumber> links;
  std::vector<ParsedNumber> rounded;
  bool found = false;
  bool approximate = false;
  for (const EquationPart& part : parts) {
    bool calculated = false;
    ParsedNumber number = ReadPart(StripDecoration(part.text), decimal_comma, &calculated);
    if (number.state != State::kNumber) return number;
    // The parts after an "about" equal only the rounded value.
    approximate = approximate || (part.approximate && &part != &parts.front());
    if (approximate && (calculated || !Rounds(before, number))) return {};
    before = number;
    if (approximate) {
      rounded.assign(1, std::move(number));
    } else if (calculated) {
      links.push_back(std::move(number));
    } else {
      if (found) links.push_back(std::move(stated));
      stated = std::move(number);
      found = true;
    }
  }
  if (!found) {
    if (rounded.empty()) return {};
    stated = std::move(rounded.front());
    rounded.clear();
  }
  stated.links = std::move(links);
  stated.rounded = std::move(rounded);
  return stated;
}

// "Total: 5"; one letter before a colon would be a ratio.
std::string_view BehindLabel(std::string_view text) {
  const size_t colon = text.find(':');
  std::string variable;
  if (colon == std::string_view::npos || colon + 1 == text.size()) return text;
  if (!ReadName(text.substr(0, colon), &variable) || !variable.empty()) return text;
  return text.substr(colon + 1);
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\n\r") == std::string_view::npos;
}

}  // namespace

Exact PlainValue(const ParsedNumber& n) {
  return n.percent ? Product(n.value, *ExactFromDigits("1", -2)) : n.value;
}

ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric) {
  const std::string stripped = StripDecoration(text);
  const std::vector<EquationPart> parts = SplitEquation(stripped);
  if (parts.size() > kMostParts) return {};
  std::span<const EquationPart> rest = parts;
  std::string variable;
  if (rest.size() > 1 && (IsBlank(rest[0].text) || ReadName(rest[0].text, &variable))) {
    rest = rest.subspan(1);
  }
  ParsedNumber number;
  if (rest.size() > 1) {
    number = ReadChain(rest, rubric.decimal_comma());
  } else {
    bool calculated = false;
    const std::string_view part = parts.size() == 1 ? BehindLabel(stripped) : rest[0].text;
    number = ReadPart(part == stripped ? stripped : StripDecoration(part), rubric.decimal_comma(),
                      &calculated);
    // An echo of the calculation is no answer.
    if (calculated) number = Refused(State::kUnparsable);
  }
  if (number.state == State::kNumber) number.variable = std::move(variable);
  return number;
}

}  // namespace grouper
