// The writer half of base/io/json.h: what it prints, our reader takes back as the same value.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/io/json.h"
#include "base/random.h"

namespace grouper {
namespace {

TEST(JsonWriter, ObjectsArraysAndCommas) {
  JsonWriter w;
  w.BeginObject().Key("a").BeginArray().Value(1).Value("x").BeginObject().EndObject().EndArray();
  w.Key("b").Value(true).Key("c").Null().Key("d").BeginArray().EndArray().Key("e").Value(0.5);
  w.EndObject();
  EXPECT_EQ(w.text(), R"({"a":[1,"x",{}],"b":true,"c":null,"d":[],"e":0.5})");
}

TEST(JsonWriter, RefusesCallsOutOfOrder) {
  EXPECT_THROW(JsonWriter().EndObject(), Error);
  EXPECT_THROW(JsonWriter().EndArray(), Error);
  JsonWriter keys;
  keys.BeginObject().Key("a");
  EXPECT_THROW(keys.Key("b"), Error);
  EXPECT_THROW(keys.EndObject(), Error);
}

TEST(JsonWriter, IntegersAreWhole) {
  JsonWriter w;
  w.BeginArray().Value(std::numeric_limits<int64_t>::min());
  w.Value(std::numeric_limits<int64_t>::max()).Value(std::numeric_limits<uint64_t>::max());
  w.EndArray();
  EXPECT_EQ(w.text(), "[-9223372036854775808,9223372036854775807,18446744073709551615]");
}

std::string NumberText(double value) {
  std::string text;
  AppendJsonNumber(&text, value);
  return text;
}

TEST(AppendJsonNumber, ShortestTextThatReadsBack) {
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(-0.0), "-0");
  EXPECT_EQ(NumberText(3), "3");
  EXPECT_EQ(NumberText(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(NumberText(std::numeric_limits<double>::infinity()), "null");
  EXPECT_EQ(NumberText(-std::numeric_limits<double>::infinity()), "null");
}

TEST(AppendJsonNumber, RandomBitsRoundTrip) {
  PhiloxSequence random(1, RandomStream::kTaskGeneration, 0);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = (uint64_t{random.Next()} << 32) | random.Next();
    double value;
    std::memcpy(&value, &bits, 8);
    if (!std::isfinite(value)) continue;
    const double back = ParseJson(NumberText(value), "t").number;
    ASSERT_EQ(std::memcmp(&back, &value, 8), 0) << NumberText(value);
  }
}

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(&quoted, text);
  return quoted;
}

TEST(AppendJsonString, EscapesControlsAndKeepsUtf8) {
  EXPECT_EQ(Quoted("a\"b\\c\n\t\r"), R"("a\"b\\c\n\t\r")");
  EXPECT_EQ(Quoted(std::string_view("\0\x1b\x7f", 3)), R"("\u0000\u001b\u007f")");
  EXPECT_EQ(Quoted("é€😀"), "\"é€😀\"");
}

TEST(AppendJsonString, InvalidUtf8BecomesReplacementCharacters) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(Quoted("\xFFz"), "\"" + r + "z\"");
  EXPECT_EQ(Quoted("\xC3"), "\"" + r + "\"");
  EXPECT_EQ(Quoted("\xC3\""), "\"" + r + "\\\"\"");
  EXPECT_EQ(Quoted("\xC0\x80"), "\"" + r + r + "\"");
  EXPECT_EQ(Quoted("\xED\xA0\x80"), "\"" + r + r + r + "\"");
  EXPECT_EQ(Quoted("\xF0\x9F\x98"), "\"" + r + r + r + "\"");
  EXPECT_EQ(Quoted("\xF4\x90\x80\x80"), "\"" + r + r + r + r + "\"");
}

// Whatever the bytes, the text is JSON; and valid UTF-8 comes back as it was.
TEST(AppendJsonString, RandomBytesAreAlwaysReadable) {
  PhiloxSequence random(2, RandomStream::kTaskGeneration, 0);
  for (int i = 0; i < 5'000; ++i) {
    std::string bytes;
    for (int64_t n = random.Uniform(0, 12); n > 0; --n) {
      bytes.push_back(static_cast<char>(random.Uniform(0, 255)));
    }
    const std::string once = ParseJson(Quoted(bytes), "t").text;
    ASSERT_EQ(ParseJson(Quoted(once), "t").text, once);
  }
}

}  // namespace
}  // namespace grouper
