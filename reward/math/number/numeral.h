// Reads one numeral, without sign and unit, from a row of tokens: literals with groups of
// thousands, decimals, repeating digits, fractions, mixed numbers, powers of ten, words. It is a
// cursor over the tokens, which number.cc and equation.cc use. The work is bounded before it is
// done. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reward/math/number/exact.h"
#include "reward/math/number/number_token.h"

namespace grouper {

// A literal or fraction while it is being read.
struct Magnitude {
  Exact value;
  bool integer = false;
  bool decimal = false;
  int64_t last_place = 0;
};

class NumeralReader {
 public:
  using Kind = NumberToken::Kind;

  // The last token is kEnd.
  NumeralReader(std::vector<NumberToken> tokens, bool decimal_comma)
      : tokens_(std::move(tokens)),
        mark_(decimal_comma ? Kind::kComma : Kind::kPoint),
        separator_(decimal_comma ? Kind::kPoint : Kind::kComma) {}

  bool ReadMagnitude(Magnitude* m);
  // Reads an operand: a numeral without a fraction bar of its own and without powers of ten.
  bool ReadOperand(Magnitude* m);
  // Reads words that are part of the value: "5 million", "3 hundred thousand".
  bool ScaleWords(Magnitude* m);
  // Takes the sign at the cursor, if there is one. True for a minus.
  bool Sign(bool* found);

  const NumberToken& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool Is(Kind kind, size_t ahead = 0) const { return Peek(ahead).kind == kind; }
  bool Take(Kind kind) {
    if (!Is(kind)) return false;
    ++at_;
    return true;
  }
  bool IsOther(std::string_view text, size_t ahead) const {
    return Is(Kind::kOther, ahead) && Peek(ahead).text == text;
  }
  void SkipBlank() { Take(Kind::kBlank); }
  // The index of the next token after an optional blank.
  size_t BehindBlank(size_t ahead = 0) const { return Is(Kind::kBlank, ahead) ? ahead + 1 : ahead; }
  bool OverBudget() {
    over_budget_ = true;
    return false;
  }

 protected:
  std::vector<NumberToken> tokens_;
  size_t at_ = 0;
  bool over_budget_ = false;

 private:
  bool DigitsStart(size_t ahead) const;
  bool Literal(Magnitude* m);
  std::string_view Repeating(std::string_view written);
  bool UnitFraction(size_t ahead) const;
  bool Words(Magnitude* m);
  bool Groups(std::string* digits);
  static bool IsProper(const Exact& part);
  bool Mixed(Magnitude* m, bool* mixed);
  bool Slash(Magnitude* m);
  bool Fraction(Exact* value, int depth);
  bool Operand(Exact* value, int depth);
  bool Vulgar(Exact* value);
  bool PowerFollows(size_t ahead) const;
  bool ScientificE(Magnitude* m);
  bool ScientificTimes(Magnitude* m);
  bool TenToThe(Magnitude* m, bool mantissa);
  bool Exponent(bool negative, Magnitude* m);
  bool Shift(int64_t power, Magnitude* m);

  const Kind mark_;
  const Kind separator_;
};

}  // namespace grouper
