#include "base/error.h"

#include <gtest/gtest.h>

namespace grouper {
namespace {

TEST(Error, KindsHaveTheirExitCodes) {
  EXPECT_EQ(ExitCode(ErrorKind::kUser), 2);
  EXPECT_EQ(ExitCode(ErrorKind::kUnavailable), 75);
  EXPECT_EQ(ExitCode(ErrorKind::kInternal), 1);
}

TEST(Error, WordsFirstValuesLast) {
  try {
    ThrowUnavailable("[test] words, values", 3, "text", 0.5);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_EQ(error.message(), "[test] words, values: 3, text, 0.5");
    EXPECT_STREQ(error.what(), error.message().c_str());
  }
  try {
    ThrowUser("[test] words alone");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_EQ(error.message(), "[test] words alone");
  }
}

TEST(Error, NamedValuesReadAsNameAndValue) {
  try {
    ThrowUser("[test] two sizes differ", Named("file", "a.json"), Named("bytes", 12 + 5));
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "[test] two sizes differ: file=a.json bytes=17");
  }
}

TEST(Error, ChecksThrowTheirKindAndOnlyWhenTheyFail) {
  const auto kind_of = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return ExitCode(error.kind());
    }
    return 0;
  };
  EXPECT_EQ(kind_of([] { CHECK(1 + 1 == 3, "[test] sums", 2); }), 1);
  EXPECT_EQ(kind_of([] { USER_CHECK(1 + 1 == 3, "[test] sums", 2); }), 2);
  int evaluated = 0;
  EXPECT_EQ(kind_of([&] { CHECK(true, "[test]", ++evaluated); }), 0);
  EXPECT_EQ(kind_of([&] { USER_CHECK(true, "[test]", ++evaluated); }), 0);
  EXPECT_EQ(evaluated, 0);  // words of a check that holds cost nothing
}

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
