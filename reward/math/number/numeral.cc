#include "reward/math/number/numeral.h"

#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include "reward/math/number/number_words.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;

constexpr int kMostDepth = 8;  // of fractions in fractions

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

}  // namespace

bool NumeralReader::Sign(bool* found) {
  const bool negative = Is(Kind::kMinus);
  if (!negative && !Is(Kind::kPlus)) return false;
  *found = true;
  ++at_;
  SkipBlank();
  return negative;
}

bool NumeralReader::ReadMagnitude(Magnitude* m) {
  if (Take(Kind::kFraction)) return Fraction(&m->value, 0);
  if (Is(Kind::kVulgar)) return Vulgar(&m->value);
  if (Is(Kind::kWord)) return Words(m);
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

bool NumeralReader::Words(Magnitude* m) {
  int64_t value = 0;
  const size_t taken = ReadNumberWords(std::span(tokens_).subspan(at_), &value);
  if (taken == 0) return false;
  at_ += taken;
  m->value = *ExactFromDigits(std::to_string(value), 0);
  m->integer = true;
  return true;
}

bool NumeralReader::ReadOperand(Magnitude* m) {
  if (Take(Kind::kFraction)) return Fraction(&m->value, 0);
  if (Is(Kind::kVulgar)) return Vulgar(&m->value);
  if (!Literal(m)) return false;
  bool mixed = false;
  if (m->integer && !over_budget_ && !Mixed(m, &mixed)) return false;
  return mixed || ScientificE(m);
}

bool NumeralReader::DigitsStart(size_t ahead) const {
  return Is(Kind::kDigits, ahead) || (Is(mark_, ahead) && Is(Kind::kDigits, ahead + 1));
}

// Reads digits, in groups of three or without groups, and a fraction part.
bool NumeralReader::Literal(Magnitude* m) {
  if (!DigitsStart(0)) return false;
  std::string digits;
  if (Is(Kind::kDigits) && !Groups(&digits)) return false;
  int64_t places = 0;
  std::string_view repeating;
  m->integer = true;
  const bool brackets = IsOther("(", 1) && Is(Kind::kDigits, 2) && IsOther(")", 3);
  if (Is(mark_) && (Is(Kind::kDigits, 1) || Is(Kind::kOverline, 1) || brackets)) {
    ++at_;
    m->integer = false;
    m->decimal = true;
    std::string_view places_text;
    if (Is(Kind::kDigits)) {
      places_text = Peek().text;
      digits += places_text;
      places = static_cast<int64_t>(places_text.size());
      ++at_;
    }
    repeating = Repeating(places_text);
    if (!repeating.empty()) m->decimal = false;
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

// The digits that repeat for ever after the written ones: "0.\overline{3}", "0.(3)", a bar over the
// last digit, or dots after digits that have already repeated. Empty if there are none; dots after
// other digits only mean that the number was cut off.
std::string_view NumeralReader::Repeating(std::string_view written) {
  const bool bar = Is(Kind::kOverline) && Is(Kind::kOpen, 1) && Is(Kind::kClose, 3);
  const bool brackets = IsOther("(", 0) && IsOther(")", 2);
  if (bar && Is(Kind::kDigits, 2)) {
    at_ += 4;
    return tokens_[at_ - 2].text;
  }
  if (brackets && Is(Kind::kDigits, 1)) {
    at_ += 3;
    return tokens_[at_ - 2].text;
  }
  if (written.empty()) return {};
  if (IsOther("\u0305", 0)) {
    ++at_;
    return written.substr(written.size() - 1);
  }
  if (Is(Kind::kPoint) && Is(Kind::kPoint, 1) && Is(Kind::kPoint, 2)) {
    at_ += 3;
  } else if (IsOther("\u2026", 0) || IsOther("\\ldots", 0) || IsOther("\\dots", 0) ||
             IsOther("\\cdots", 0)) {
    ++at_;
  } else {
    return {};
  }
  constexpr size_t kLongestPeriod = 30;
  for (size_t period = 1; period <= std::min(kLongestPeriod, written.size() / 2); ++period) {
    const size_t times = period == 1 ? 3 : 2;
    if (written.size() < times * period) continue;
    const std::string_view tail = written.substr(written.size() - times * period);
    if (tail.substr(period) == tail.substr(0, tail.size() - period)) return tail.substr(0, period);
  }
  return {};
}

// Reads a first group of one to three digits and then groups of three, all with one kind of
// separator; or a run of digits. 1,23 and 12,34 are malformed, not 123 and 1234.
bool NumeralReader::Groups(std::string* digits) {
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

bool NumeralReader::IsProper(const Exact& part) {
  return part.exponent == 0 && sgn(part.fraction) > 0 && part.fraction < 1;
}

// After an integer, "\frac25", " 2/5" or a one-character fraction below 1 makes a mixed number. A
// fraction above 1 could be a product there, so it is refused.
bool NumeralReader::Mixed(Magnitude* m, bool* mixed) {
  const size_t back = at_;
  const size_t ahead = BehindBlank();
  Exact part;
  if (Is(Kind::kFraction, ahead) && !UnitFraction(ahead + 1)) {
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

// Reads "\frac{m}{s}" after a number, at its first brace.
bool NumeralReader::UnitFraction(size_t ahead) const {
  if (!Is(Kind::kOpen, ahead)) return false;
  const size_t inside = BehindBlank(ahead + 1);
  return Is(Kind::kWord, inside) || Is(Kind::kText, inside);
}

bool NumeralReader::Slash(Magnitude* m) {
  at_ += BehindBlank() + 1;
  SkipBlank();
  Magnitude below;
  if (!Literal(&below) || below.value.IsZero()) return false;
  const Exact value = Quotient(m->value, below.value);
  *m = Magnitude();
  m->value = value;
  return true;
}

// Reads the two operands after \frac, each of them {...} or one digit.
bool NumeralReader::Fraction(Exact* value, int depth) {
  Exact top;
  Exact bottom;
  if (!Operand(&top, depth) || !Operand(&bottom, depth) || bottom.IsZero()) return false;
  *value = Quotient(top, bottom);
  return true;
}

bool NumeralReader::Operand(Exact* value, int depth) {
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

bool NumeralReader::Vulgar(Exact* value) {
  const std::string_view text = Peek().text;
  *value = Quotient(*ExactFromDigits(text.substr(0, 1), 0), *ExactFromDigits(text.substr(2), 0));
  ++at_;
  return true;
}

bool NumeralReader::PowerFollows(size_t ahead) const {
  return Is(Kind::kCaret, ahead) || Is(Kind::kSuperscript, ahead);
}

// Reads "1.5e3", without anything in between.
bool NumeralReader::ScientificE(Magnitude* m) {
  if (!Is(Kind::kWord) || (Peek().text != "e" && Peek().text != "E")) return true;
  const size_t sign = Is(Kind::kMinus, 1) || Is(Kind::kPlus, 1) ? 1 : 0;
  if (!Is(Kind::kDigits, 1 + sign)) return true;
  const bool negative = Is(Kind::kMinus, 1);
  at_ += 1 + sign;
  return Exponent(negative, m);
}

// "1.5 \times 10^3", "1.5 x 10^{3}"
bool NumeralReader::ScientificTimes(Magnitude* m) {
  const size_t times = BehindBlank();
  const bool letter =
      Is(Kind::kWord, times) && (Peek(times).text == "x" || Peek(times).text == "X");
  if (!Is(Kind::kTimes, times) && !letter) return true;
  const size_t first = BehindBlank(times + 1);
  const bool braced = Is(Kind::kOpen, first) && Is(Kind::kClose, first + 2);
  const size_t ten = braced ? first + 1 : first;
  const size_t behind = braced ? ten + 2 : ten + 1;
  if (!Is(Kind::kDigits, ten) || Peek(ten).text != "10" || !PowerFollows(behind)) return true;
  at_ += behind;
  return TenToThe(m, /*mantissa=*/true);
}

// Reads the exponent at the caret or the raised digits after a 10.
bool NumeralReader::TenToThe(Magnitude* m, bool mantissa) {
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

bool NumeralReader::Exponent(bool negative, Magnitude* m) {
  const std::string_view digits = Peek().text;
  ++at_;
  if (digits.size() > 9) return OverBudget();
  int64_t power = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), power);
  return Shift(negative ? -power : power, m);
}

bool NumeralReader::Shift(int64_t power, Magnitude* m) {
  if (power > kExactExponent || power < -kExactExponent) return OverBudget();
  if (!m->value.IsZero()) m->value.exponent += power;
  m->last_place += power;
  if (power < 0) m->integer = false;
  return true;
}

// "5 million", "3 hundred thousand": words that are part of the value.
bool NumeralReader::ScaleWords(Magnitude* m) {
  while (true) {
    const size_t ahead = BehindBlank();
    const int64_t power = Is(Kind::kWord, ahead) ? ThousandsPower(Peek(ahead).text) : 0;
    if (power == 0) return true;
    at_ += ahead + 1;
    if (!Shift(power, m) || m->last_place > 1000) return false;
  }
}

}  // namespace grouper
