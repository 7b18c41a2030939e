// Exact numbers as people and models write them: integers, decimals, fractions, mixed numbers,
// thousands separators, percent, powers of ten, currency signs and units, chains of equations, in
// plain text or LaTeX. The whole text must be consumed: a text that cannot be read with certainty
// is refused, never guessed. The work is bounded before it is done. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/rubric.pb.h"
#include "reward/math/number/exact.h"

namespace grouper {

struct ParsedNumber {
  enum class State { kNumber, kUnparsable, kOverBudget };
  State state = State::kUnparsable;
  Exact value;             // as written: 50 for "50%"
  bool integer = false;    // written without point and fraction bar
  bool decimal = false;    // written with a decimal mark, and not with repeating digits
  int64_t last_place = 0;  // decimal: exponent of ten of its last written digit
  bool percent = false;
  std::string unit;      // canonical (unit.h); a currency sign is a unit; empty: none
  std::string variable;  // "x" of "x = 5"
  // The other parts of a chain "9 * 2 = 18". The chain is true if all of them equal the value.
  std::vector<ParsedNumber> links;
  // The rounded value of "10/3 \approx 3.33", at most one. It is accepted in place of the value.
  std::vector<ParsedNumber> rounded;
  bool several = false;  // unparsable because it names more than one value: "5 or 6", "\pm 5"
};

// Reads a number. Units are read under every rubric; equivalence.h decides what they mean.
ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric);

// The value with a percent sign applied: 0.5 for "50%".
Exact PlainValue(const ParsedNumber& n);

// The text without decoration of the whole of it: blanks, $ $, \( \), \[ \], ** **, quotes,
// \boxed{}, \text{}, parentheses without a comma, a full stop at the end, and the words of
// lead_in.h.
std::string StripDecoration(std::string_view text);

}  // namespace grouper
