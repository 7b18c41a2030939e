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
  bool approximate = false;  // the sign before it means "about"
};
// Splits the text at each = and \approx outside of brackets. Without any there is one part.
std::vector<EquationPart> SplitEquation(std::string_view text);

// True for text that may name the answer before an equals sign: "x", "x_1", "\theta", "Total cost",
// "P(A)", "AB". *variable is the name if two different names would contradict each other.
bool ReadName(std::string_view text, std::string* variable);

struct ArithmeticValue {
  Exact value;
  bool reduced = false;  // a number, with at most signs, brackets and one fraction bar
};
enum class ArithmeticState { kValue, kUnparsable, kOverBudget };
// Computes + - * / and whole powers of numbers; "$" and words of units are skipped.
ArithmeticState Calculate(std::string_view text, bool decimal_comma, ArithmeticValue* value);

}  // namespace grouper
