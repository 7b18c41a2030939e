// English words for whole numbers: "five", "twenty-one", "one hundred and five thousand". Pure.
#pragma once

#include <cstdint>
#include <span>

#include "reward/math/number/number_token.h"

namespace grouper {

// Reads the number words at the front of `tokens` (the last is kEnd) that make one number. Returns
// the number of tokens that they take; 0 if there are none.
size_t ReadNumberWords(std::span<const NumberToken> tokens, int64_t* value);

}  // namespace grouper
