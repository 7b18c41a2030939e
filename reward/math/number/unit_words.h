// The words of units: which words are known units and their one spelling, and which words change
// the value or the claim ("or", "half", "million", "about") and so are never a unit. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

namespace grouper {

// The word in lower case, except a single letter, whose case matters.
std::string FoldedUnitWord(std::string_view word);

// The canonical spelling of a word that is a unit wherever it follows a number, as written ("MW",
// "mW") or folded; empty for other words.
std::string_view KnownUnit(std::string_view word);

// True if a folded, non-empty word means something else than a unit.
bool IsNeverUnit(std::string_view word);

// The unit of a currency sign or of the code "USD" ("$" is "dollar"); empty if it is no currency.
std::string_view CurrencyUnit(std::string_view word);

}  // namespace grouper
