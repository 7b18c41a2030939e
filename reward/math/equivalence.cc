#include "reward/math/equivalence.h"

#include <algorithm>
#include <cmath>

#include "reward/math/number.h"

namespace grouper {
namespace {

using Kind = Equivalence::Kind;

// Half a unit of the decimal place 10^place.
mpq_class HalfUnit(int64_t place) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, static_cast<unsigned long>(std::abs(place)));
  mpq_class unit = place >= 0 ? mpq_class(power) : mpq_class(mpz_class(1), power);
  return unit / 2;
}

// A double of the rubric as the exact rational it is.
mpq_class Exact(double x) { return std::isfinite(x) && x > 0 ? mpq_class(x) : mpq_class(0); }

mpq_class ToleranceOf(const ParsedNumber& a, const ParsedNumber& g, const Rubric& rubric) {
  if (a.integer && g.integer) return 0;  // integers are compared exactly under every rubric
  const Tolerance& t = rubric.tolerance();
  switch (t.kind_case()) {
    case Tolerance::kExact:
      return 0;
    case Tolerance::kDecimals:
      return a.decimal || g.decimal
                 ? HalfUnit(-static_cast<int64_t>(std::min<uint32_t>(t.decimals(), 1000)))
                 : mpq_class(0);
    case Tolerance::kRelative:
      return Exact(t.relative()) * abs(g.value);
    case Tolerance::kAbsolute:
      return Exact(t.absolute());
    case Tolerance::kHalfUlp:
    case Tolerance::KIND_NOT_SET:
      return g.decimal ? HalfUnit(g.last_place) : mpq_class(0);
  }
  return 0;
}

// A plural and its singular are one unit.
std::string Singular(std::string unit) {
  if (unit.size() > 3 && unit.back() == 's' && unit[unit.size() - 2] != 's') unit.pop_back();
  return unit;
}

bool UnitsFit(const ParsedNumber& a, const ParsedNumber& g, const Rubric& rubric) {
  switch (rubric.units()) {
    case Rubric::UNITS_REQUIRED:
      return Singular(a.unit) == Singular(g.unit);
    case Rubric::UNITS_OPTIONAL:
      return a.unit.empty() || g.unit.empty() || Singular(a.unit) == Singular(g.unit);
    case Rubric::UNITS_IGNORED:
    case Rubric::UNITS_NONE:
      return true;
  }
  return true;
}

bool IsWords(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || c == ' ' || c == '\'' || c == '-' ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

bool Within(const ParsedNumber& a, const ParsedNumber& g, const Rubric& rubric) {
  const mpq_class slack = ToleranceOf(a, g, rubric);
  if (abs(a.value - g.value) <= slack) return true;
  if (!rubric.percent_as_number() || a.percent == g.percent) return false;
  // "50%" against 50.
  ParsedNumber scaled = a.percent ? a : g;
  const ParsedNumber& plain = a.percent ? g : a;
  scaled.value *= 100;
  return abs(scaled.value - plain.value) <= slack * (g.percent ? 100 : 1);
}

}  // namespace

Equivalence Compare(std::string_view answer, std::string_view gold, const Rubric& rubric) {
  const std::string folded_gold = FoldText(gold), folded_answer = FoldText(answer);
  if (folded_gold.empty()) return {Kind::kGoldUnparsable, ""};
  if (folded_answer.empty()) return {Kind::kAnswerUnparsable, ""};
  const ParsedNumber g = ParseNumber(gold, rubric);
  if (g.state != ParsedNumber::State::kNumber) {
    if (folded_answer == folded_gold) return {Kind::kEqual, "identical"};
    // Words can be told apart; anything else would need a judge of expressions.
    return {IsWords(folded_gold) ? Kind::kDifferent : Kind::kGoldUnparsable, "text"};
  }
  if (answer.size() > 4 * gold.size() + 200) return {Kind::kDifferent, "too_long"};
  const ParsedNumber a = ParseNumber(answer, rubric);
  if (a.state == ParsedNumber::State::kOverBudget) return {Kind::kAnswerOverBudget, ""};
  if (a.state != ParsedNumber::State::kNumber) return {Kind::kAnswerUnparsable, ""};
  if (!UnitsFit(a, g, rubric)) return {Kind::kDifferent, "unit"};
  if (a.value == g.value) return {Kind::kEqual, "exact"};
  return {Within(a, g, rubric) ? Kind::kEqual : Kind::kDifferent, "tolerance"};
}

}  // namespace grouper
