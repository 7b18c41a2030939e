// Splits chains of equations such as "x = 9 * 2 = 18" into their parts and does the arithmetic of
// each part, so that a chain is believed only when it is true. The arithmetic is exact and its cost
// is bounded by counts. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reward/math/number/exact.h"

namespace grouper {

struct EquationPart {
  std::string_view text;
  bool approximate = false;  // the sign before it says "about"
};
// Splits at the = and \approx that stand in no bracket. One part: there was none of them.
std::vector<EquationPart> SplitEquation(std::string_view text);

// What may stand before an equals sign to name the answer: "x", "x_1", "\theta", "Total cost",
// "P(A)", "AB". *variable: the name where two different ones contradict each other.
bool ReadName(std::string_view text, std::string* variable);

struct ArithmeticValue {
  Exact value;
  bool reduced = false;  // signs, brackets and one fraction bar at most: a number, no calculation
};
enum class ArithmeticState { kValue, kUnparsable, kOverBudget };
// + - * / and whole powers of numbers, "$" and words of units read over.
ArithmeticState Calculate(std::string_view text, bool decimal_comma, ArithmeticValue* value);

}  // namespace grouper
