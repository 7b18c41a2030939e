// The unit after a number: which words are accepted as a unit, and one spelling for each. A word
// that changes the value or the claim (unit_words.h), or "x", is never a unit, so no number is read
// out of a text that says something else. Pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "reward/math/number/number_token.h"

namespace grouper {

// Reads `tokens` (the last is kEnd) as a unit that follows a number: "apples", "\text{ cm}^2",
// "km/h", "miles per hour". False if they are none; no tokens, or only blanks, give "". The
// canonical spelling is lower case and singular, with "/" for per and "^2" for square.
bool ReadUnit(std::span<const NumberToken> tokens, std::string* unit);

}  // namespace grouper
