#include "base/error.h"

#include <gtest/gtest.h>

namespace grouper {
namespace {

TEST(Excerpt, ShowsPrintableAsciiAndEscapesTheRest) {
  EXPECT_EQ(Excerpt("plain \"text\" ~"), "plain \"text\" ~");
  EXPECT_EQ(Excerpt("\x1b[2J\n\x7f"), "\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(Excerpt("\xC2\x9B\xFF"), "\\xc2\\x9b\\xff");
  EXPECT_EQ(Excerpt(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Excerpt(""), "");
}

TEST(Excerpt, CutsLongText) {
  EXPECT_EQ(Excerpt("abcdef", 3), "abc...");
  EXPECT_EQ(Excerpt("abc", 3), "abc");
  EXPECT_EQ(Excerpt(std::string(1000, 'x')), std::string(64, 'x') + "...");
}

}  // namespace
}  // namespace grouper
