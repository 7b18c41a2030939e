#include "base/log.h"

#include <gtest/gtest.h>

namespace grouper {
namespace {

std::string Logged(LogLevel level, std::string_view message) {
  testing::internal::CaptureStderr();
  Log(level, message);
  return testing::internal::GetCapturedStderr();
}

TEST(Log, LinesCarryRoleAndLevel) {
  SetLogRole("reward");
  EXPECT_EQ(Logged(LogLevel::kInfo, "words"), "[reward] words\n");
  EXPECT_EQ(Logged(LogLevel::kWarn, "words"), "[reward] warning: words\n");
  EXPECT_EQ(Logged(LogLevel::kError, "{} %s words"), "[reward] error: {} %s words\n");
}

TEST(Log, LevelsBelowTheSetOneAreSilent) {
  SetLogRole("train");
  EXPECT_EQ(Logged(LogLevel::kDebug, "words"), "");
  SetLogLevel(LogLevel::kWarn);
  EXPECT_EQ(Logged(LogLevel::kInfo, "words"), "");
  EXPECT_EQ(Logged(LogLevel::kWarn, "words"), "[train] warning: words\n");
  SetLogLevel(LogLevel::kInfo);
}

// A message may quote what a model or a file wrote.
TEST(Log, ControlCharactersNeverReachTheTerminal) {
  SetLogRole("t");
  EXPECT_EQ(Logged(LogLevel::kInfo, "a\tb\nc"), "[t] a\tb\nc\n");
  EXPECT_EQ(Logged(LogLevel::kInfo, "\x1b[2J\r\x7f"), "[t] \\x1b[2J\\x0d\\x7f\n");
  EXPECT_EQ(Logged(LogLevel::kInfo, std::string_view("a\0b", 3)), "[t] a\\x00b\n");
  EXPECT_EQ(Logged(LogLevel::kInfo, "é€😀"), "[t] é€😀\n");
  // U+009B is the one-character form of ESC [, in UTF-8 and as a bare byte.
  EXPECT_EQ(Logged(LogLevel::kInfo,
                   "\xC2\x9B"
                   "2J"),
            "[t] \\xc2\\x9b2J\n");
  EXPECT_EQ(Logged(LogLevel::kInfo, "\xC2\xA0"), "[t] \xC2\xA0\n");
  EXPECT_EQ(Logged(LogLevel::kInfo,
                   "\x9B"
                   "2J\xE2\x82"),
            "[t] \\x9b2J\\xe2\\x82\n");
}

}  // namespace
}  // namespace grouper
