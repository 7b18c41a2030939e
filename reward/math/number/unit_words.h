// The words of units: which are known to be units and their one spelling, which change the value or
// the claim ("or", "half", "million", "about") and so are never a unit. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace grouper {

// Lower case, but for a single letter, whose case counts.
std::string FoldedUnitWord(std::string_view word);

// Canonical spelling of a word that is a unit however it is attached, as written ("MW", "mW") or
// folded; empty for others.
std::string_view KnownUnit(std::string_view word);

// Whether a folded word, which is not empty, says something else than a unit.
bool IsNeverUnit(std::string_view word);

// The unit that a currency sign or the code "USD" stands for ("$" is "dollar"), empty for no
// currency.
std::string_view CurrencyUnit(std::string_view word);

}  // namespace grouper
