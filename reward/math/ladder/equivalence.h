// Decides whether an answer is equal to a gold (the reference answer of a task). Numbers are
// compared as exact rationals under the rubric's tolerance, percent and unit rules; golds that are
// words are compared as folded text. Whether a gold can be judged depends on the gold alone and
// never on the answer, so that no completion can take itself out of its group. Pure and
// thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "proto/rubric.pb.h"
#include "reward/math/number/number.h"

namespace grouper {

struct Gold {
  enum class Kind {
    kNumber,
    kWords,       // "yes", "Tuesday", "(B)": compared as text
    kUnparsable,  // an expression, a malformed number, a word that equals nothing (nan)
    kOverBudget,
    kEmpty,
  };
  Kind kind = Kind::kEmpty;
  ParsedNumber number;
  std::string words;  // kWords: folded
  size_t bytes = 0;   // length as written, for the bound on answers
};
Gold ReadGold(std::string_view text, const Rubric& rubric);

struct Equivalence {
  enum class Kind { kEqual, kDifferent, kUnparsable, kOverBudget };
  Kind kind = Kind::kDifferent;
  // kEqual: exact, tolerance, words. kDifferent: different, units_differ, variables_differ,
  // chain_differs, several_values, too_long, empty.
  std::string_view reason;
};
// Compares an answer with a gold whose kind is kNumber or kWords.
Equivalence Compare(std::string_view answer, const Gold& gold, const Rubric& rubric);

// True if two answers of one completion say the same: equal text, or numbers of equal value and
// unit.
bool Agree(std::string_view a, std::string_view b, const Rubric& rubric);

}  // namespace grouper
