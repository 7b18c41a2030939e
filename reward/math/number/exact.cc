#include "reward/math/number/exact.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace grouper {
namespace {

mpz_class PowerOfTen(int64_t exponent) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, static_cast<unsigned long>(exponent));
  return power;
}

int64_t Bits(const mpz_class& x) {
  return sgn(x) == 0 ? 0 : static_cast<int64_t>(mpz_sizeinbase(x.get_mpz_t(), 2));
}

// log2 |a| with an error below 1.1; minus infinity for zero.
double Log2(const Exact& a) {
  if (a.IsZero()) return -std::numeric_limits<double>::infinity();
  return static_cast<double>(Bits(a.fraction.get_num()) - Bits(a.fraction.get_den())) +
         static_cast<double>(a.exponent) * 3.321928094887362;
}

mpq_class Scaled(const Exact& a, int64_t exponent) {
  return a.fraction * PowerOfTen(a.exponent - exponent);
}

}  // namespace

bool Exact::Fits() const {
  return std::abs(exponent) <= kExactExponent && Bits(fraction.get_num()) <= kExactBits &&
         Bits(fraction.get_den()) <= kExactBits;
}

bool Exact::IsInteger() const {
  if (exponent >= 0) return fraction.get_den() == 1 || Scaled(*this, 0).get_den() == 1;
  // num / (den * 10^-exponent) is whole if num contains every factor; the canonical form has no
  // common factors.
  if (IsZero()) return true;
  if (fraction.get_den() != 1) return false;
  if (Bits(fraction.get_num()) < -exponent * 3) return false;
  return mpz_divisible_p(fraction.get_num_mpz_t(), PowerOfTen(-exponent).get_mpz_t()) != 0;
}

std::optional<Exact> ExactFromDigits(std::string_view digits, int64_t exponent) {
  if (digits.empty() || digits.size() > static_cast<size_t>(kExactExponent)) return std::nullopt;
  Exact x;
  if (digits.size() <= 18) {
    long small = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), small);
    x.fraction = small;
  } else {
    x.fraction = mpz_class(std::string(digits), 10);
  }
  x.exponent = x.IsZero() ? 0 : exponent;
  return x;
}

Exact ExactFromDouble(double x) {
  char text[40];
  const std::to_chars_result end =
      std::to_chars(text, text + sizeof text, std::abs(x), std::chars_format::scientific);
  const std::string_view all(text, static_cast<size_t>(end.ptr - text));
  const size_t e = all.find('e');
  int64_t exponent = 0;
  const char* first = all.data() + e + 1 + (all[e + 1] == '+' ? 1 : 0);
  std::from_chars(first, end.ptr, exponent);
  std::string digits(all.substr(0, 1));
  if (e > 2) {
    digits += all.substr(2, e - 2);
    exponent -= static_cast<int64_t>(e - 2);
  }
  const Exact magnitude = *ExactFromDigits(digits, exponent);
  return x < 0 ? Negate(magnitude) : magnitude;
}

Exact Negate(Exact a) {
  a.fraction = -a.fraction;
  return a;
}

Exact Product(const Exact& a, const Exact& b) {
  Exact x;
  x.fraction = a.fraction * b.fraction;
  x.exponent = x.IsZero() ? 0 : a.exponent + b.exponent;
  return x;
}

Exact Quotient(const Exact& a, const Exact& b) {
  Exact x;
  x.fraction = a.fraction / b.fraction;
  x.exponent = x.IsZero() ? 0 : a.exponent - b.exponent;
  return x;
}

Exact Sum(const Exact& a, const Exact& b) {
  const int64_t exponent = std::min(a.exponent, b.exponent);
  Exact x;
  x.fraction = Scaled(a, exponent) + Scaled(b, exponent);
  x.exponent = x.IsZero() ? 0 : exponent;
  return x;
}

bool Equal(const Exact& a, const Exact& b) {
  if (sgn(a.fraction) != sgn(b.fraction)) return false;
  if (a.IsZero()) return true;
  if (a.exponent == b.exponent) return a.fraction == b.fraction;
  if (std::abs(Log2(a) - Log2(b)) > 3) return false;
  const int64_t exponent = std::min(a.exponent, b.exponent);
  return Scaled(a, exponent) == Scaled(b, exponent);
}

bool Within(const Exact& a, const Exact& b, const Exact& tolerance) {
  if (Equal(a, b)) return true;
  if (tolerance.IsZero()) return false;
  // If the difference is far above or far below the tolerance, the sizes alone decide.
  const double larger = std::max(Log2(a), Log2(b));
  const double smaller = std::min(Log2(a), Log2(b));
  if (Log2(tolerance) > larger + 4) return true;
  if (larger > smaller + 4 && Log2(tolerance) < larger - 5) return false;
  const int64_t exponent = std::min({a.exponent, b.exponent, tolerance.exponent});
  const mpq_class difference = Scaled(a, exponent) - Scaled(b, exponent);
  return abs(difference) <= Scaled(tolerance, exponent);
}

}  // namespace grouper
