// What a model wrote, made fit for the string fields of results: proto3 refuses to carry anything
// that is not UTF-8, and one such field would lose the whole reply. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace grouper {

struct Utf8Character {
  uint32_t code = 0;
  size_t bytes = 0;  // 0: no well-formed character stands here
};
// The character at byte `at` < text.size() (Unicode 15, table 3-7: no overlong forms, no
// surrogates).
Utf8Character ReadUtf8(std::string_view text, size_t at);

// At most max_bytes of text, cut at a character; each ill-formed byte becomes U+FFFD.
std::string Utf8Excerpt(std::string_view text, size_t max_bytes);

}  // namespace grouper
