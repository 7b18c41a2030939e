#include "reward/math/number/equation.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "reward/math/number/numeral.h"
#include "reward/math/number/unit_words.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;

constexpr std::string_view kApprox = "\\approx";
constexpr std::string_view kApproxSign = "\u2248";
constexpr int kMostDepth = 32;        // of brackets
constexpr size_t kMostTokens = 1024;  // of a calculation
constexpr int kMostPower = 64;
constexpr size_t kMostBits = 4096;
constexpr int kMostNameWords = 6;

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsCapital(char c) { return c >= 'A' && c <= 'Z'; }

bool IsGreekName(std::string_view command) {
  static constexpr std::array<std::string_view, 24> kNames = {
      "\\alpha", "\\beta",   "\\gamma", "\\delta", "\\epsilon", "\\varepsilon",
      "\\zeta",  "\\eta",    "\\theta", "\\iota",  "\\kappa",   "\\lambda",
      "\\mu",    "\\nu",     "\\xi",    "\\rho",   "\\sigma",   "\\tau",
      "\\phi",   "\\varphi", "\\chi",   "\\psi",   "\\omega",   "\\Delta"};
  return std::find(kNames.begin(), kNames.end(), command) != kNames.end();
}

class NameReader : private NumeralReader {
 public:
  explicit NameReader(std::string_view text)
      : NumeralReader(SplitNumberTokens(text), /*decimal_comma=*/false) {}

  bool Read(std::string* variable) {
    SkipBlank();
    if (!Variable(variable) && !Function() && !Words()) return false;
    SkipBlank();
    return Is(Kind::kEnd);
  }

 private:
  // "x", "x_1", "x_{12}", "\theta".
  bool Variable(std::string* variable) {
    const size_t back = at_;
    const NumberToken first = Peek();
    const bool letter = first.kind == Kind::kWord && first.text.size() == 1;
    if (!letter && !(first.kind == Kind::kOther && IsGreekName(first.text))) return false;
    ++at_;
    *variable = first.text;
    if (IsOther("_", 0)) {
      ++at_;
      const bool braced = Take(Kind::kOpen);
      if (!Is(Kind::kDigits) && !Is(Kind::kWord)) return false;
      *variable += "_" + std::string(Peek().text);
      ++at_;
      if (braced && !Take(Kind::kClose)) return false;
    }
    SkipBlank();
    if (Is(Kind::kEnd)) return true;
    variable->clear();
    at_ = back;
    return false;
  }

  // "P(A)", "f(2)": the letters that are functions by custom, else x(2) would be a product.
  bool Function() {
    static constexpr std::string_view kFunctions = "fghFGPEV";
    if (!Is(Kind::kWord) || Peek().text.size() != 1 || !IsOther("(", 1)) return false;
    if (kFunctions.find(Peek().text) == std::string_view::npos) return false;
    at_ += 2;
    while (!Is(Kind::kEnd) && !IsOther(")", 0) && !IsOther("(", 0)) ++at_;
    if (!IsOther(")", 0)) return false;
    ++at_;
    return true;
  }

  // "Total cost", "\text{Area}", the segment "AB".
  bool Words() {
    const bool wrapped = Is(Kind::kText) && Is(Kind::kOpen, 1);
    if (wrapped) at_ += 2;
    SkipBlank();
    int words = 0;
    while (Is(Kind::kWord)) {
      const std::string_view word = Peek().text;
      if (IsNeverUnit(FoldedUnitWord(word)) || ++words > kMostNameWords) return false;
      const bool capitals = std::all_of(word.begin(), word.end(), IsCapital) && word.size() >= 2;
      if (words == 1 && word.size() < 3 && !capitals) return false;
      ++at_;
      SkipBlank();
    }
    return words > 0 && (!wrapped || Take(Kind::kClose));
  }
};

class Calculator : private NumeralReader {
 public:
  Calculator(std::string_view text, bool decimal_comma)
      : NumeralReader(SplitNumberTokens(text), decimal_comma) {}

  ArithmeticState Run(ArithmeticValue* value) {
    const bool good = tokens_.size() <= kMostTokens ? AddUp(&value->value, 0) : OverBudget();
    if (over_budget_) return ArithmeticState::kOverBudget;
    SkipBlank();
    if (!good || !Is(Kind::kEnd)) return ArithmeticState::kUnparsable;
    value->reduced = reduced_ && bars_ <= 1;
    return ArithmeticState::kValue;
  }

 private:
  bool Small(const Exact& x) {
    const auto bits = [](const mpz_class& n) { return mpz_sizeinbase(n.get_mpz_t(), 2); };
    if (bits(x.fraction.get_num()) <= kMostBits && bits(x.fraction.get_den()) <= kMostBits &&
        std::abs(x.exponent) <= static_cast<int64_t>(kMostBits)) {
      return true;
    }
    return OverBudget();
  }

  bool AddUp(Exact* sum, int depth) {
    if (depth > kMostDepth) return OverBudget();
    if (!Multiply(sum, depth)) return false;
    while (true) {
      const size_t ahead = BehindBlank();
      const bool minus = Is(Kind::kMinus, ahead);
      if (!minus && !Is(Kind::kPlus, ahead)) return true;
      at_ += ahead + 1;
      reduced_ = false;
      Exact next;
      if (!Multiply(&next, depth)) return false;
      *sum = Sum(*sum, minus ? Negate(std::move(next)) : next);
      if (!Small(*sum)) return false;
    }
  }

  bool Multiply(Exact* product, int depth) {
    if (!Factor(product, depth, /*sign=*/true)) return false;
    while (true) {
      const size_t ahead = BehindBlank();
      const bool letter =
          Is(Kind::kWord, ahead) && (Peek(ahead).text == "x" || Peek(ahead).text == "X");
      const bool share = percent_ && Is(Kind::kWord, ahead) && Peek(ahead).text == "of";
      const bool divide = Is(Kind::kSlash, ahead);
      const bool bracket = IsOther("(", ahead);
      if (!letter && !share && !divide && !bracket && !Is(Kind::kTimes, ahead)) return true;
      if (divide) {
        ++bars_;
      } else {
        reduced_ = false;
      }
      at_ += bracket ? ahead : ahead + 1;
      Exact next;
      if (!Factor(&next, depth, /*sign=*/!bracket)) return false;
      if (divide && next.IsZero()) return false;
      *product = divide ? Quotient(*product, next) : Product(*product, next);
      if (!Small(*product)) return false;
    }
  }

  bool Factor(Exact* value, int depth, bool sign) {
    SkipBlank();
    bool signed_already = false;
    const bool negative = sign && Sign(&signed_already);
    percent_ = false;
    if (Is(Kind::kCurrency)) {
      ++at_;
      SkipBlank();
    }
    if (IsOther("(", 0)) {
      ++at_;
      // "(1,234)" may be a point.
      for (size_t ahead = 0; !Is(Kind::kEnd, ahead) && !IsOther(")", ahead); ++ahead) {
        if (Is(Kind::kComma, ahead)) return false;
      }
      if (!AddUp(value, depth + 1)) return false;
      SkipBlank();
      if (!IsOther(")", 0)) return false;
      ++at_;
    } else {
      Magnitude m;
      if (!ReadOperand(&m) || !Small(m.value)) return false;
      *value = std::move(m.value);
    }
    if (!Power(value)) return false;
    if (Take(Kind::kPercent)) {
      percent_ = true;
      *value = Product(*value, *ExactFromDigits("1", -2));
    }
    SkipUnit();
    if (negative) *value = Negate(std::move(*value));
    return true;
  }

  bool Power(Exact* value) {
    int power = 0;
    if (Is(Kind::kSuperscript)) {
      power = Peek().superscript;
      ++at_;
    } else if (Take(Kind::kCaret)) {
      const bool braced = Take(Kind::kOpen);
      if (!Is(Kind::kDigits)) return false;
      if (Peek().text.size() > 2) return OverBudget();
      power = std::atoi(std::string(Peek().text).c_str());
      ++at_;
      if (braced && !Take(Kind::kClose)) return false;
      if (Is(Kind::kCaret)) return false;
    } else {
      return true;
    }
    if (power < 0) return false;
    if (power > kMostPower) return OverBudget();
    reduced_ = false;
    Exact result = *ExactFromDigits("1", 0);
    for (int i = 0; i < power; ++i) {
      result = Product(result, *value);
      if (!Small(result)) return false;
    }
    *value = std::move(result);
    return true;
  }

  // "9 eggs * $2/egg": words that no calculation needs.
  void SkipUnit() {
    while (true) {
      const size_t ahead = BehindBlank(Is(Kind::kSlash) ? 1 : 0);
      if (!Is(Kind::kWord, ahead) || Peek(ahead).text.size() < 2) break;
      if (IsNeverUnit(FoldedUnitWord(Peek(ahead).text)) || Peek(ahead).text == "of") break;
      at_ += ahead + 1;
      reduced_ = false;
    }
    Take(Kind::kCurrency);
  }

  bool reduced_ = true;
  bool percent_ = false;  // the last factor was one
  int bars_ = 0;
};

}  // namespace

std::vector<EquationPart> SplitEquation(std::string_view text) {
  std::vector<EquationPart> parts;
  int depth = 0;
  size_t begin = 0;
  bool approximate = false;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    size_t sign = 0;
    bool approx = true;
    if (c == '=') {
      sign = 1;
      approx = false;
    } else if (text.compare(at, kApproxSign.size(), kApproxSign) == 0) {
      sign = kApproxSign.size();
    } else if (text.compare(at, kApprox.size(), kApprox) == 0 &&
               (at + kApprox.size() == text.size() || !IsLetter(text[at + kApprox.size()]))) {
      sign = kApprox.size();
    }
    if (sign > 0 && depth == 0) {
      parts.push_back({text.substr(begin, at - begin), approximate});
      approximate = approx;
      at += sign;
      begin = at;
      continue;
    }
    if (c == '{' || c == '(' || c == '[') ++depth;
    if (c == '}' || c == ')' || c == ']') --depth;
    at += c == '\\' && at + 1 < text.size() ? 2 : 1;
  }
  parts.push_back({text.substr(begin), approximate});
  return parts;
}

bool ReadName(std::string_view text, std::string* variable) {
  variable->clear();
  return NameReader(text).Read(variable);
}

ArithmeticState Calculate(std::string_view text, bool decimal_comma, ArithmeticValue* value) {
  return Calculator(text, decimal_comma).Run(value);
}

}  // namespace grouper
