// Characters in bytes that claim to be UTF-8 (Unicode 15, table 3-7: no overlong forms, no
// surrogates). A string of proto3 can hold nothing else, so text that a model wrote passes
// through here first. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace grouper {

struct Utf8Character {
  uint32_t code = 0;
  size_t bytes = 0;  // 0: no well-formed character begins here
};
// The character at byte `at` < text.size().
Utf8Character ReadUtf8(std::string_view text, size_t at);

// Length in bytes of the character at the start of text (not empty), 0 when there is none.
inline size_t Utf8Length(std::string_view text) { return ReadUtf8(text, 0).bytes; }

// True when text is a sequence of well-formed characters.
bool IsUtf8(std::string_view text);

// The same text, but each ill-formed byte becomes the four characters \xNN.
std::string EscapeIllFormed(std::string_view text);

// At most max_bytes of text, cut at a character; each ill-formed byte becomes U+FFFD.
std::string Utf8Excerpt(std::string_view text, size_t max_bytes);

}  // namespace grouper
