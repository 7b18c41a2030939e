// Bytes as hexadecimal digits.
#pragma once

#include <string>

namespace grouper {

// Appends the two lower-case hexadecimal digits of a byte.
inline void AppendHex(unsigned char byte, std::string* out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out->push_back(kDigits[byte >> 4]);
  out->push_back(kDigits[byte & 15]);
}

}  // namespace grouper
