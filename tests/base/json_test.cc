#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace grouper {
namespace {

// A reader that stops at a zero byte would take a file whose rest nobody has looked at.
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
    try {
      ParseJson(c.text, "rows.jsonl:7");
      ADD_FAILURE() << "taken: " << c.byte;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
      EXPECT_NE(error.message().find("rows.jsonl:7: "), std::string::npos) << error.message();
      EXPECT_NE(error.message().find(c.byte), std::string::npos) << error.message();
    }
  }
  // Written as an escape it is text.
  EXPECT_EQ(ParseJson("\"a\\u0000b\"", "t").text, std::string("a\0b", 3));
}

}  // namespace
}  // namespace grouper
