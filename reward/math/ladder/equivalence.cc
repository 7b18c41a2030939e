#include "reward/math/ladder/equivalence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "reward/math/number/number_token.h"

namespace grouper {
namespace {

using Kind = Equivalence::Kind;
using Token = NumberToken::Kind;

// An answer that is longer than this, for a gold of this length, is wrong whatever it says.
size_t MostAnswerBytes(size_t gold_bytes) { return 4 * gold_bytes + 200; }

Exact HalfUnit(int64_t place) { return *ExactFromDigits("5", place - 1); }

Exact Magnitude(Exact x) { return sgn(x.fraction) < 0 ? Negate(std::move(x)) : x; }

// a and g are the values that are compared; `shift` is the power of ten between the gold as written
// and g.
Exact ToleranceOf(const ParsedNumber& answer, const ParsedNumber& gold, const Exact& a,
                  const Exact& g, int64_t shift, const Rubric& rubric) {
  // Integers are compared exactly under every rubric, at any size.
  if (gold.integer && a.IsInteger() && g.IsInteger()) return {};
  const Tolerance& rule = rubric.tolerance();
  const auto positive = [](double x) {
    return std::isfinite(x) && x > 0 ? ExactFromDouble(x) : Exact();
  };
  switch (rule.kind_case()) {
    case Tolerance::kExact:
      return {};
    case Tolerance::kDecimals:
      if (!answer.decimal && !gold.decimal) return {};
      return HalfUnit(-static_cast<int64_t>(std::min<uint32_t>(rule.decimals(), 100000)));
    case Tolerance::kRelative:
      return Product(positive(rule.relative()), Magnitude(g));
    case Tolerance::kAbsolute:
      return positive(rule.absolute());
    case Tolerance::kHalfUlp:
    case Tolerance::KIND_NOT_SET:
      return gold.decimal ? HalfUnit(gold.last_place + shift) : Exact();
  }
  return {};
}

Equivalence CompareValues(const ParsedNumber& answer, const ParsedNumber& gold, const Exact& a,
                          const Exact& g, int64_t shift, const Rubric& rubric) {
  if (Equal(a, g)) return {Kind::kEqual, "exact"};
  const Exact tolerance = ToleranceOf(answer, gold, a, g, shift, rubric);
  if (!tolerance.IsZero() && Within(a, g, tolerance)) return {Kind::kEqual, "tolerance"};
  return {Kind::kDifferent, "different"};
}

Equivalence CompareNumbers(const ParsedNumber& a, const ParsedNumber& g, const Rubric& rubric) {
  const Equivalence by_value =
      CompareValues(a, g, PlainValue(a), PlainValue(g), g.percent ? -2 : 0, rubric);
  if (by_value.kind == Kind::kEqual || a.percent == g.percent || !rubric.percent_as_number()) {
    return by_value;
  }
  return CompareValues(a, g, a.value, g.value, 0, rubric);
}

// True if all parts of a chain have exactly the same value, or if there is no chain.
bool IsTrue(const ParsedNumber& n) {
  return std::all_of(n.links.begin(), n.links.end(), [&](const ParsedNumber& link) {
    return Equal(PlainValue(link), PlainValue(n));
  });
}

bool UnitsFit(const ParsedNumber& a, const ParsedNumber& g, const Rubric& rubric) {
  switch (rubric.units()) {
    case Rubric::UNITS_REQUIRED:
      return a.unit == g.unit;
    case Rubric::UNITS_OPTIONAL:
      return a.unit.empty() || g.unit.empty() || a.unit == g.unit;
    case Rubric::UNITS_IGNORED:
    case Rubric::UNITS_NONE:
      return true;
  }
  return true;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The text with blanks folded, ASCII in lower case, and without decoration and text commands.
std::string FoldWords(std::string_view text) {
  std::string folded;
  for (const char c : StripDecoration(text)) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (blank && (folded.empty() || folded.back() == ' ')) continue;
    folded.push_back(blank ? ' ' : Lower(c));
  }
  while (!folded.empty() && (folded.back() == ' ' || folded.back() == '!')) folded.pop_back();
  // "B)" is "(B)".
  if (folded.size() == 2 && folded[1] == ')') folded.pop_back();
  return folded;
}

// NaN and infinity equal nothing, not even themselves.
bool EqualsNothing(std::string_view words) {
  static constexpr std::array<std::string_view, 8> kWords = {
      "nan", "inf", "infinity", "infinite", "undefined", "not a number", "null", "-inf"};
  return std::find(kWords.begin(), kWords.end(), words) != kWords.end();
}

// True for words without digits and operators. A hyphen must follow or precede a real word:
// "x-axis", but not "x-y".
bool IsWords(std::string_view folded) {
  size_t longest = 0;
  bool hyphen = false;
  for (const NumberToken& token : SplitNumberTokens(folded)) {
    switch (token.kind) {
      case Token::kWord:
        longest = std::max(longest, token.text.size());
        break;
      case Token::kMinus:
        hyphen = true;
        break;
      case Token::kBlank:
      case Token::kPoint:
      case Token::kComma:
      case Token::kEnd:
        break;
      case Token::kOther:
        if (token.text != "'" && token.text != "\u2019" && token.text != "!") return false;
        break;
      default:
        return false;
    }
  }
  return longest > (hyphen ? 2 : 0) && !EqualsNothing(folded);
}

}  // namespace

Gold ReadGold(std::string_view text, const Rubric& rubric) {
  Gold gold;
  gold.bytes = text.size();
  gold.words = FoldWords(text);
  if (gold.words.empty()) return gold;
  gold.number = ParseNumber(text, rubric);
  switch (gold.number.state) {
    case ParsedNumber::State::kNumber:
      gold.kind = IsTrue(gold.number) ? Gold::Kind::kNumber : Gold::Kind::kUnparsable;
      break;
    case ParsedNumber::State::kOverBudget:
      gold.kind = Gold::Kind::kOverBudget;
      break;
    case ParsedNumber::State::kUnparsable:
      gold.kind = IsWords(gold.words) ? Gold::Kind::kWords : Gold::Kind::kUnparsable;
      break;
  }
  return gold;
}

Equivalence Compare(std::string_view answer, const Gold& gold, const Rubric& rubric) {
  if (answer.size() > MostAnswerBytes(gold.bytes)) return {Kind::kDifferent, "too_long"};
  if (gold.kind == Gold::Kind::kWords) {
    const std::string words = FoldWords(answer);
    if (words.empty()) return {Kind::kDifferent, "empty"};
    return words == gold.words ? Equivalence{Kind::kEqual, "words"}
                               : Equivalence{Kind::kDifferent, "different"};
  }
  const ParsedNumber a = ParseNumber(answer, rubric);
  const ParsedNumber& g = gold.number;
  if (a.state == ParsedNumber::State::kOverBudget) return {Kind::kOverBudget, "over_budget"};
  if (a.state == ParsedNumber::State::kUnparsable) {
    if (a.several) return {Kind::kDifferent, "several_values"};
    return {Kind::kUnparsable, "unparsable"};
  }
  if (!a.unit.empty() && rubric.units() == Rubric::UNITS_NONE) return {Kind::kUnparsable, "unit"};
  if (!a.variable.empty() && !g.variable.empty() && a.variable != g.variable) {
    return {Kind::kDifferent, "variables_differ"};
  }
  if (!UnitsFit(a, g, rubric)) return {Kind::kDifferent, "units_differ"};
  for (const ParsedNumber& link : a.links) {
    if (CompareNumbers(link, g, rubric).kind != Kind::kEqual) {
      return {Kind::kDifferent, "chain_differs"};
    }
  }
  const Equivalence by_value = CompareNumbers(a, g, rubric);
  if (by_value.kind == Kind::kEqual || a.rounded.empty() || !a.links.empty()) return by_value;
  return CompareNumbers(a.rounded.front(), g, rubric);
}

bool Agree(std::string_view a, std::string_view b, const Rubric& rubric) {
  if (a == b) return true;
  const size_t longest = MostAnswerBytes(std::min(a.size(), b.size()));
  if (a.size() > longest || b.size() > longest) return false;
  if (FoldWords(a) == FoldWords(b)) return true;
  const ParsedNumber x = ParseNumber(a, rubric);
  const ParsedNumber y = ParseNumber(b, rubric);
  if (x.state != ParsedNumber::State::kNumber || y.state != ParsedNumber::State::kNumber) {
    return false;
  }
  if (!x.variable.empty() && !y.variable.empty() && x.variable != y.variable) return false;
  return IsTrue(x) && IsTrue(y) && UnitsFit(x, y, rubric) && Equal(PlainValue(x), PlainValue(y));
}

}  // namespace grouper
