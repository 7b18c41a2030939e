#include "base/utf8.h"

#include <gtest/gtest.h>

namespace grouper {
namespace {

std::string Encoded(uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | (code >> 6)), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | (code >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (code >> 18)), tail(12), tail(6), tail(0)};
}

TEST(Utf8, EveryCodePointIsReadBackAndSurrogatesAreNot) {
  for (uint32_t code = 0; code < 0x111000; ++code) {
    const std::string text = Encoded(code);
    const Utf8Character read = ReadUtf8(text, 0);
    const bool valid = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    ASSERT_EQ(read.bytes, valid ? text.size() : 0) << code;
    ASSERT_EQ(read.code, valid ? code : 0) << code;
    ASSERT_EQ(IsUtf8(text), valid) << code;
    if (text.size() > 1) {
      ASSERT_EQ(Utf8Length(std::string_view(text).substr(0, text.size() - 1)), 0u) << code;
    }
  }
}

TEST(Utf8, OverlongFormsAreRefused) {
  for (const char* text : {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF",
                           "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF5\x80\x80\x80", "\x80"}) {
    EXPECT_FALSE(IsUtf8(text)) << testing::PrintToString(std::string(text));
  }
}

TEST(Utf8, AnExcerptEndsAtACharacterAndReplacesWhatIsNone) {
  EXPECT_EQ(Utf8Excerpt("a\xC3\xA9z", 2), "a");
  EXPECT_EQ(Utf8Excerpt("a\xC3\xA9z", 3), "a\xC3\xA9");
  EXPECT_EQ(Utf8Excerpt("\xFFok", 16), "\xEF\xBF\xBDok");
}

TEST(Utf8, EscapedTextIsWellFormedAndKeepsWhatWas) {
  EXPECT_EQ(EscapeIllFormed("a\xC3\xA9\n"), "a\xC3\xA9\n");
  EXPECT_EQ(EscapeIllFormed("\xFF\xC3z"), "\\xFF\\xC3z");
}

}  // namespace
}  // namespace grouper
