// Exact numbers as people and models write them: integers, decimals, fractions, mixed numbers,
// thousands separators, percent, powers of ten, a unit or currency. Values are GMP rationals. The
// whole text must be consumed; what cannot be read for sure is refused. Work is bounded before it
// is done.
#pragma once

#include <gmpxx.h>

#include <string>
#include <string_view>

#include "proto/rubric.pb.h"

namespace grouper {

struct ParsedNumber {
  enum class State { kNumber, kUnparsable, kOverBudget };
  State state = State::kUnparsable;
  mpq_class value;         // percent already divided by 100
  bool integer = false;    // written without point, fraction bar or percent, and whole
  bool decimal = false;    // written with a decimal point or comma
  int64_t last_place = 0;  // decimal: exponent of ten of the last written digit, percent included
  bool percent = false;
  std::string unit;  // folded: lower case, one space; "$" for a currency sign
};

ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric);

// Text as it is compared when it is no number: delimiters and blanks taken off, blanks folded,
// ASCII lower case.
std::string FoldText(std::string_view text);

}  // namespace grouper
