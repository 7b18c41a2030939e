// English words for whole numbers: "five", "twenty-one", "one hundred and five thousand". Pure.
#pragma once

#include <cstdint>
#include <span>

#include "reward/math/number/number_token.h"

namespace grouper {

// Reads as many number words as make one number at the front of `tokens` (the last is kEnd).
// Returns how many tokens they take, 0 for none.
size_t ReadNumberWords(std::span<const NumberToken> tokens, int64_t* value);

}  // namespace grouper
