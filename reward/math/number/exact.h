// Exact rational numbers in the form fraction * 10^exponent, so that 1e300000 costs nothing until
// it must be compared with something as large. Every decision is exact; the cost of each is bounded
// by kExactBits; callers stay below it by asking Fits() first. Values, no shared state.
#pragma once

#include <gmpxx.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace grouper {

inline constexpr int64_t kExactBits = int64_t{1} << 20;
// Powers of ten up to this exponent stay within kExactBits.
inline constexpr int64_t kExactExponent = 315652;

struct Exact {
  mpq_class fraction;    // canonical
  int64_t exponent = 0;  // value = fraction * 10^exponent

  bool IsZero() const { return sgn(fraction) == 0; }
  // True if the number is within the budget. The operations below need operands that fit.
  bool Fits() const;
  bool IsInteger() const;
};

// digits: [0-9]+, at most kExactExponent of them (empty otherwise).
std::optional<Exact> ExactFromDigits(std::string_view digits, int64_t exponent);
// The shortest decimal that reads back as this double, so 0.01 is 1/100. x is finite.
Exact ExactFromDouble(double x);

Exact Negate(Exact a);
Exact Product(const Exact& a, const Exact& b);
Exact Quotient(const Exact& a, const Exact& b);  // b is not zero
Exact Sum(const Exact& a, const Exact& b);

bool Equal(const Exact& a, const Exact& b);
// True if |a - b| <= tolerance, where tolerance >= 0.
bool Within(const Exact& a, const Exact& b, const Exact& tolerance);

}  // namespace grouper
