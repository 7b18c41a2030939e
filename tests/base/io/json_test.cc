#include "base/io/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

std::string Refusal(std::string_view text, const JsonLimits& limits = {}) {
  const std::string message = UserErrorOf([&] { ParseJson(text, "rows.jsonl:7", limits); });
  EXPECT_EQ(message.rfind("rows.jsonl:7: ", 0), 0u) << message;
  return message;
}

std::string Repeated(std::string_view piece, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += piece;
  return all;
}

// A reader that stops at a zero byte would accept a file whose rest was never read.
TEST(ParseJson, RefusesAZeroByteWhereverItStands) {
  const std::string zero(1, '\0');
  struct Case {
    std::string text;
    const char* byte;
  };
  for (const Case& c :
       {Case{"{}" + zero + "{\"hidden\":1}", "byte 3"}, Case{"[1]" + zero, "byte 4"},
        Case{zero + "{}", "byte 1"}, Case{"{\"a\":\"x" + zero + "\"}", "byte 8"},
        Case{"1" + zero + "2", "byte 2"}}) {
    EXPECT_NE(Refusal(c.text).find(c.byte), std::string::npos) << c.byte;
  }
  // An escaped zero byte is text.
  EXPECT_EQ(ParseJson("\"a\\u0000b\"", "t").text, std::string("a\0b", 3));
}

TEST(ParseJson, RefusesWhatIsNoJson) {
  for (const char* text :
       {"",          " ",          "{",           "[",      "]",        "{]",          "{\"a\"}",
        "{\"a\":}",  "{\"a\":1,}", "[1,]",        "[,1]",   "{a:1}",    "{'a':1}",     "{1:2}",
        "nul",       "nulll",      "True",        "NaN",    "Infinity", "-Infinity",   "// a\n1",
        "/* a */ 1", "[1] [2]",    "{} x",        "1 2",    "\"a",      "\"\t\"",      "\"\n\"",
        "\"\\x\"",   "\"\\u12\"",  "\"\\u12g4\"", "\"\\\"", "\xFE\xFF", "\xEF\xBB\xBF"}) {
    EXPECT_NE(Refusal(text).find("byte "), std::string::npos) << text;
  }
}

TEST(ParseJson, DepthLimitIsExact) {
  for (const auto& [open, close] : {std::pair{"[", "]"}, std::pair{"{\"a\":", "}"}}) {
    const std::string inner = open[0] == '[' ? "" : "1";
    const Json deep = ParseJson(Repeated(open, 64) + inner + Repeated(close, 64), "t");
    EXPECT_TRUE(deep.IsArray() || deep.IsObject());
    const std::string message = Refusal(Repeated(open, 65) + inner + Repeated(close, 65));
    EXPECT_NE(message.find("nested deeper than 64"), std::string::npos) << message;
  }
  // The depth at which a recursive destructor would overflow the stack; the byte is the bracket's.
  const std::string hostile = Refusal(std::string(1 << 20, '['));
  EXPECT_NE(hostile.find("byte 65: "), std::string::npos) << hostile;
  // Siblings do not add up.
  EXPECT_EQ(ParseJson("[" + Repeated("[[]],", 99) + "[]]", "t", {.max_depth = 3}).items.size(),
            100u);
}

TEST(ParseJson, SizeAndCountLimitsAreExact) {
  EXPECT_EQ(ParseJson("[1,2]", "t", {.max_bytes = 5}).items.size(), 2u);
  EXPECT_NE(Refusal("[1,2] ", {.max_bytes = 5}).find("limit of 5"), std::string::npos);
  EXPECT_EQ(ParseJson("[1,[],{}]", "t", {.max_values = 4}).items.size(), 3u);
  EXPECT_NE(Refusal("[1,[],{}]", {.max_values = 3}).find("more than 3 values"), std::string::npos);
}

TEST(ParseJson, AKeyStandsOnce) {
  for (const char* text : {"{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
                           "[{\"x\":{\"a\":1,\"a\":1}}]", "{\"\":1,\"\":2}"}) {
    EXPECT_NE(Refusal(text).find("occurs twice"), std::string::npos) << text;
  }
  EXPECT_NE(Refusal("{\"\\u001b[2J\":1,\"\\u001b[2J\":2}").find("\\x1b[2J"), std::string::npos);
  const Json twice = ParseJson("[{\"a\":1},{\"a\":{\"a\":2}}]", "t");
  EXPECT_EQ(twice.items[1].At("a", "t").Integer("a", "t"), 2);
}

TEST(ParseJson, IntegersUpToTheBordersOfInt64) {
  struct Case {
    const char* text;
    bool is_integer;
    int64_t integer;
    double number;
  };
  for (const Case& c : {Case{"0", true, 0, 0}, Case{"9223372036854775807", true, INT64_MAX, 0x1p63},
                        Case{"-9223372036854775808", true, INT64_MIN, -0x1p63},
                        Case{"9223372036854775808", false, 0, 0x1p63},
                        Case{"-9223372036854775809", false, 0, -0x1p63},
                        Case{"18446744073709551615", false, 0, 0x1p64},
                        Case{"18446744073709551616", false, 0, 0x1p64},
                        Case{"9007199254740993", true, 9007199254740993, 0x1p53},
                        Case{"1.0", false, 0, 1}, Case{"1e2", false, 0, 100},
                        Case{"1E-2", false, 0, 0.01}, Case{"-1.5e+3", false, 0, -1500}}) {
    for (const char* frame : {"%s", " %s ", "[%s]", "[ %s ,0]", "{\"a\":%s}"}) {
      char text[64];
      snprintf(text, sizeof(text), frame, c.text);
      const Json value = ParseJson(text, "t");
      const Json& number = value.IsArray()    ? value.items[0]
                           : value.IsObject() ? value.members[0].second
                                              : value;
      ASSERT_TRUE(number.IsNumber()) << text;
      EXPECT_EQ(number.is_integer, c.is_integer) << text;
      EXPECT_EQ(number.integer, c.integer) << text;
      EXPECT_EQ(number.number, c.number) << text;
      EXPECT_EQ(number.text, c.text) << text;
    }
  }
}

TEST(ParseJson, NumbersThatNoDoubleHoldsAndThatAreNone) {
  for (const char* text : {"1e400", "-1e400", "[1e309]"}) {
    EXPECT_NE(Refusal(text).find("too large for a double"), std::string::npos) << text;
  }
  for (const char* text :
       {"01", "-", "+1", ".5", "5.", "1e", "1e+", "0x10", "1_000", "1-", "--1", "1.5.2", "-01"}) {
    Refusal(text);
  }
  EXPECT_EQ(ParseJson("1e-400", "t").number, 0.0);
  EXPECT_EQ(ParseJson("1.7976931348623157e308", "t").number, std::numeric_limits<double>::max());
  EXPECT_EQ(ParseJson("5e-324", "t").number, std::numeric_limits<double>::denorm_min());
}

TEST(ParseJson, MinusZeroKeepsItsSign) {
  for (const char* text : {"-0", "-0.0", "-0e5"}) {
    const Json zero = ParseJson(text, "t");
    EXPECT_EQ(zero.number, 0.0) << text;
    EXPECT_TRUE(std::signbit(zero.number)) << text;
  }
  EXPECT_FALSE(std::signbit(ParseJson("0", "t").number));
}

TEST(ParseJson, EscapesAndSurrogates) {
  EXPECT_EQ(ParseJson(R"("\"\\\/\b\f\n\r\t")", "t").text, "\"\\/\b\f\n\r\t");
  EXPECT_EQ(ParseJson(R"("\u00e9\u20AC\ud83d\uDE00")", "t").text, "é€😀");
  EXPECT_EQ(ParseJson("\"é€😀\x7f\"", "t").text, "é€😀\x7f");
  EXPECT_EQ(ParseJson(R"("\udbff\udfff")", "t").text, "\xF4\x8F\xBF\xBF");
  for (const char* text : {R"("\ud83d")", R"("\ud83dx")", R"("\ud83d\n")", R"("\ude00")",
                           R"("\ud83d\ud83d")", R"("\ude00\ud83d")"}) {
    Refusal(text);
  }
}

TEST(ParseJson, InvalidUtf8IsRefusedInTextsAndKeys) {
  for (const char* bytes :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80", "\xE2\x82",
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x9F\x98", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFE", "\xFF"}) {
    const std::string message = Refusal("[\"" + std::string(bytes) + "\"]");
    EXPECT_EQ(message.find(bytes), std::string::npos) << "hostile bytes are shown: " << message;
    Refusal("{\"" + std::string(bytes) + "\":1}");
  }
}

TEST(Json, CheckedAccessNamesPlaceFieldAndKind) {
  const Json row = ParseJson(R"({"s":"x","i":3,"d":1.5,"n":null,"a":[]})", "t");
  EXPECT_EQ(row.String("s", "r:1"), "x");
  EXPECT_EQ(row.Integer("i", "r:1"), 3);
  EXPECT_EQ(row.Number("i", "r:1"), 3.0);
  EXPECT_EQ(row.Number("d", "r:1"), 1.5);
  EXPECT_EQ(row.Find("missing"), nullptr);
  EXPECT_EQ(row.At("a", "r:1").Find("s"), nullptr);
  EXPECT_EQ(UserErrorOf([&] { row.String("q", "r:1"); }), "r:1: the field \"q\" is missing");
  EXPECT_EQ(UserErrorOf([&] { row.String("n", "r:1"); }),
            "r:1: the field \"n\" must be a text, but it is null");
  EXPECT_EQ(UserErrorOf([&] { row.Integer("d", "r:1"); }),
            "r:1: the field \"d\" must be an integer, but it is a number (1.5)");
  EXPECT_EQ(UserErrorOf([&] { row.Number("a", "r:1"); }),
            "r:1: the field \"a\" must be a number, but it is an array");
}

}  // namespace
}  // namespace grouper
