#include "reward/math/number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <vector>

#include "reward/math/number_token.h"
#include "reward/math/unit.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;
using State = ParsedNumber::State;

constexpr size_t kMostTokens = 4096;
constexpr int kMostDepth = 8;  // of fractions in fractions

// A literal or fraction while it is being read.
struct Magnitude {
  Exact value;
  bool integer = false;
  bool decimal = false;
  int64_t last_place = 0;
};

int64_t ThousandsPower(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, int64_t>, 9> kPowers = {{{"hundred", 2},
                                                                                   {"thousand", 3},
                                                                                   {"million", 6},
                                                                                   {"billion", 9},
                                                                                   {"trillion", 12},
                                                                                   {"Hundred", 2},
                                                                                   {"Thousand", 3},
                                                                                   {"Million", 6},
                                                                                   {"Billion", 9}}};
  for (const auto& [name, power] : kPowers) {
    if (name == word) return power;
  }
  return 0;
}

bool IsGreekName(std::string_view command) {
  static constexpr std::array<std::string_view, 24> kNames = {
      "\\alpha", "\\beta",   "\\gamma", "\\delta", "\\epsilon", "\\varepsilon",
      "\\zeta",  "\\eta",    "\\theta", "\\iota",  "\\kappa",   "\\lambda",
      "\\mu",    "\\nu",     "\\xi",    "\\rho",   "\\sigma",   "\\tau",
      "\\phi",   "\\varphi", "\\chi",   "\\psi",   "\\omega",   "\\Delta"};
  return std::find(kNames.begin(), kNames.end(), command) != kNames.end();
}

class Reader {
 public:
  Reader(std::vector<NumberToken> tokens, bool decimal_comma)
      : tokens_(std::move(tokens)),
        mark_(decimal_comma ? Kind::kComma : Kind::kPoint),
        separator_(decimal_comma ? Kind::kPoint : Kind::kComma) {}

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
  const NumberToken& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool Is(Kind kind, size_t ahead = 0) const { return Peek(ahead).kind == kind; }
  bool Take(Kind kind) {
    if (!Is(kind)) return false;
    ++at_;
    return true;
  }
  void SkipBlank() { Take(Kind::kBlank); }
  // Index ahead of the token behind an optional blank.
  size_t BehindBlank(size_t ahead = 0) const { return Is(Kind::kBlank, ahead) ? ahead + 1 : ahead; }
  bool OverBudget() {
    over_budget_ = true;
    return false;
  }

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

  bool Sign(bool* found) {
    const bool negative = Is(Kind::kMinus);
    if (!negative && !Is(Kind::kPlus)) return false;
    *found = true;
    ++at_;
    SkipBlank();
    return negative;
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

  bool ReadMagnitude(Magnitude* m) {
    if (Take(Kind::kFraction)) return Fraction(&m->value, 0);
    if (Is(Kind::kVulgar)) return Vulgar(&m->value);
    const bool base_ten = Is(Kind::kDigits) && Peek().text == "10" && PowerFollows(1);
    if (!Literal(m)) return false;
    if (base_ten) return TenToThe(m, /*mantissa=*/false);
    if (m->integer && !over_budget_) {
      bool mixed = false;
      if (!Mixed(m, &mixed)) return false;
      if (mixed) return true;
    }
    const size_t slash = BehindBlank();
    if (Is(Kind::kSlash, slash) && DigitsStart(BehindBlank(slash + 1))) return Slash(m);
    return ScientificE(m) && ScientificTimes(m);
  }

  bool DigitsStart(size_t ahead) const {
    return Is(Kind::kDigits, ahead) || (Is(mark_, ahead) && Is(Kind::kDigits, ahead + 1));
  }

  // Digits in groups of three or without groups, and a fraction part.
  bool Literal(Magnitude* m) {
    if (!DigitsStart(0)) return false;
    std::string digits;
    if (Is(Kind::kDigits) && !Groups(&digits)) return false;
    int64_t places = 0;
    std::string_view repeating;
    m->integer = true;
    if (Is(mark_) && (Is(Kind::kDigits, 1) || Is(Kind::kOverline, 1))) {
      ++at_;
      m->integer = false;
      m->decimal = true;
      if (Is(Kind::kDigits)) {
        digits += Peek().text;
        places = static_cast<int64_t>(Peek().text.size());
        ++at_;
      }
      if (Is(Kind::kOverline) && Is(Kind::kOpen, 1) && Is(Kind::kDigits, 2) &&
          Is(Kind::kClose, 3)) {
        repeating = Peek(2).text;
        at_ += 4;
        m->decimal = false;
      }
    }
    const std::optional<Exact> value = ExactFromDigits(digits.empty() ? "0" : digits, -places);
    if (!value) return OverBudget();
    m->value = *value;
    m->last_place = -places;
    if (repeating.empty()) return true;
    // 0.1(27) = 0.1 + 27 / 99 * 10^-1
    const std::optional<Exact> period = ExactFromDigits(repeating, -places);
    if (!period || repeating.size() > 1000) return OverBudget();
    const std::string nines(repeating.size(), '9');
    m->value = Sum(m->value, Quotient(*period, *ExactFromDigits(nines, 0)));
    return true;
  }

  // A first group of one to three digits and groups of three behind it, one kind of separator
  // throughout; or a run of digits. 1,23 and 12,34 are malformed, not 123 and 1234.
  bool Groups(std::string* digits) {
    const std::string_view first = Peek().text;
    *digits = first;
    ++at_;
    const bool commas = Is(separator_) && Is(Kind::kDigits, 1);
    const bool blanks = Is(Kind::kBlank) && Peek().text == " " && Is(Kind::kDigits, 1) &&
                        Peek(1).text.size() == 3 && first.size() <= 3 && first[0] != '0';
    if (commas && (first.size() > 3 || first[0] == '0')) return false;
    const Kind used = commas ? separator_ : Kind::kBlank;
    if (!commas && !blanks) return true;
    while (Is(used) && Is(Kind::kDigits, 1)) {
      if (used == Kind::kBlank && Peek().text != " ") break;
      if (Peek(1).text.size() != 3) return false;
      *digits += Peek(1).text;
      at_ += 2;
    }
    // "2 125/1000" could be 2125/1000 or 2 + 125/1000.
    return !(blanks && Is(Kind::kSlash, BehindBlank()) &&
             Is(Kind::kDigits, BehindBlank(BehindBlank() + 1)));
  }

  static bool IsProper(const Exact& part) {
    return part.exponent == 0 && sgn(part.fraction) > 0 && part.fraction < 1;
  }

  // Behind an integer: "\frac25", " 2/5" or a one-character fraction below 1 makes a mixed number.
  // A fraction above 1 there could be a product, so it is refused.
  bool Mixed(Magnitude* m, bool* mixed) {
    const size_t back = at_;
    const size_t ahead = BehindBlank();
    Exact part;
    if (Is(Kind::kFraction, ahead)) {
      at_ += ahead + 1;
      if (!Fraction(&part, 0)) return false;
    } else if (Is(Kind::kVulgar, ahead)) {
      at_ += ahead;
      if (!Vulgar(&part)) return false;
    } else if (ahead == 1 && Is(Kind::kDigits, 1) && Is(Kind::kSlash, 2) && Is(Kind::kDigits, 3)) {
      const std::optional<Exact> top = ExactFromDigits(Peek(1).text, 0);
      const std::optional<Exact> bottom = ExactFromDigits(Peek(3).text, 0);
      if (!top || !bottom) return OverBudget();
      if (bottom->IsZero()) return false;
      part = Quotient(*top, *bottom);
      at_ += 4;
    } else {
      at_ = back;
      return true;
    }
    if (!IsProper(part)) return false;
    m->value = Sum(m->value, part);
    m->integer = false;
    *mixed = true;
    return true;
  }

  bool Slash(Magnitude* m) {
    at_ += BehindBlank() + 1;
    SkipBlank();
    Magnitude below;
    if (!Literal(&below) || below.value.IsZero()) return false;
    const Exact value = Quotient(m->value, below.value);
    *m = Magnitude();
    m->value = value;
    return true;
  }

  // Behind \frac: two operands, each {...} or one digit.
  bool Fraction(Exact* value, int depth) {
    Exact top;
    Exact bottom;
    if (!Operand(&top, depth) || !Operand(&bottom, depth) || bottom.IsZero()) return false;
    *value = Quotient(top, bottom);
    return true;
  }

  bool Operand(Exact* value, int depth) {
    if (depth > kMostDepth) return OverBudget();
    SkipBlank();
    if (Is(Kind::kDigits)) {
      std::string_view& digits = tokens_[at_].text;
      *value = *ExactFromDigits(digits.substr(0, 1), 0);
      digits.remove_prefix(1);
      if (digits.empty()) ++at_;
      return true;
    }
    if (!Take(Kind::kOpen)) return false;
    SkipBlank();
    bool found = false;
    const bool negative = Sign(&found);
    if (Take(Kind::kFraction)) {
      if (!Fraction(value, depth + 1)) return false;
    } else {
      Magnitude m;
      if (!Literal(&m)) return false;
      *value = m.value;
    }
    if (negative) *value = Negate(std::move(*value));
    SkipBlank();
    return Take(Kind::kClose);
  }

  bool Vulgar(Exact* value) {
    const std::string_view text = Peek().text;
    *value = Quotient(*ExactFromDigits(text.substr(0, 1), 0), *ExactFromDigits(text.substr(2), 0));
    ++at_;
    return true;
  }

  bool PowerFollows(size_t ahead) const {
    return Is(Kind::kCaret, ahead) || Is(Kind::kSuperscript, ahead);
  }

  // "1.5e3", nothing between.
  bool ScientificE(Magnitude* m) {
    if (!Is(Kind::kWord) || (Peek().text != "e" && Peek().text != "E")) return true;
    const size_t sign = Is(Kind::kMinus, 1) || Is(Kind::kPlus, 1) ? 1 : 0;
    if (!Is(Kind::kDigits, 1 + sign)) return true;
    const bool negative = Is(Kind::kMinus, 1);
    at_ += 1 + sign;
    return Exponent(negative, m);
  }

  // "1.5 \times 10^3", "1.5 x 10^{3}"
  bool ScientificTimes(Magnitude* m) {
    const size_t times = BehindBlank();
    const bool letter =
        Is(Kind::kWord, times) && (Peek(times).text == "x" || Peek(times).text == "X");
    if (!Is(Kind::kTimes, times) && !letter) return true;
    const size_t ten = BehindBlank(times + 1);
    if (!Is(Kind::kDigits, ten) || Peek(ten).text != "10" || !PowerFollows(ten + 1)) return true;
    at_ += ten + 1;
    return TenToThe(m, /*mantissa=*/true);
  }

  // At the caret or the raised digits behind a 10.
  bool TenToThe(Magnitude* m, bool mantissa) {
    if (!mantissa) {
      *m = Magnitude();
      m->integer = true;
      m->value = *ExactFromDigits("1", 0);
    }
    if (Is(Kind::kSuperscript)) {
      const int power = Peek().superscript;
      ++at_;
      return Shift(power, m);
    }
    ++at_;
    const bool braced = Take(Kind::kOpen);
    bool found = false;
    const bool negative = Sign(&found);
    if (!Is(Kind::kDigits) || !Exponent(negative, m)) return false;
    return !braced || Take(Kind::kClose);
  }

  bool Exponent(bool negative, Magnitude* m) {
    const std::string_view digits = Peek().text;
    ++at_;
    if (digits.size() > 9) return OverBudget();
    int64_t power = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), power);
    return Shift(negative ? -power : power, m);
  }

  bool Shift(int64_t power, Magnitude* m) {
    if (power > kExactExponent || power < -kExactExponent) return OverBudget();
    if (!m->value.IsZero()) m->value.exponent += power;
    m->last_place += power;
    if (power < 0) m->integer = false;
    return true;
  }

  // "5 million", "3 hundred thousand": words that are part of the value.
  bool ScaleWords(Magnitude* m) {
    while (true) {
      const size_t ahead = BehindBlank();
      const int64_t power = Is(Kind::kWord, ahead) ? ThousandsPower(Peek(ahead).text) : 0;
      if (power == 0) return true;
      at_ += ahead + 1;
      if (!Shift(power, m) || m->last_place > 1000) return false;
    }
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

  std::vector<NumberToken> tokens_;
  const Kind mark_;
  const Kind separator_;
  size_t at_ = 0;
  bool over_budget_ = false;
};

}  // namespace

ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric) {
  return Reader(SplitNumberTokens(StripDecoration(text)), rubric.decimal_comma()).Read();
}

}  // namespace grouper
