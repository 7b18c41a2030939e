// Seeded random and damaged JSON and JSONL: taken or refused in words, never a crash; and what is
// taken writes back and reads as the same value.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"
#include "tests/testing/mutate.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::Mutator;
using testing_support::TempFolder;

const std::vector<std::string> kPieces = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "\"",
                                          "\\",
                                          "\\u",
                                          "\\ud83d",
                                          "\\ude00",
                                          "\\u0000",
                                          "null",
                                          "true",
                                          "false",
                                          "-",
                                          "0",
                                          "1",
                                          "9223372036854775807",
                                          "18446744073709551616",
                                          "1e400",
                                          "-0",
                                          ".5",
                                          "e-9",
                                          " ",
                                          "\n",
                                          "\r\n",
                                          "\t",
                                          "\"a\"",
                                          "\"a\":",
                                          "{\"a\":1}",
                                          "[[[[[[[[",
                                          "]]]]]]]]",
                                          "\xEF\xBB\xBF",
                                          "\xC3",
                                          "\xF0\x9F\x98\x80",
                                          "\xED\xA0\x80",
                                          "\x7f",
                                          std::string(1, '\0')};

const std::string kGood =
    "{\"question\":\"2+2 \\u00e9 \xF0\x9F\x98\x80\",\"n\":[1,-2.5e3,0.1,9223372036854775807],"
    "\"deep\":{\"a\":{\"b\":[true,false,null,\"\"]}},\"end\":-0}";

void Write(const Json& value, JsonWriter* out) {
  switch (value.kind) {
    case Json::Kind::kNull:
      out->Null();
      break;
    case Json::Kind::kBool:
      out->Value(value.boolean);
      break;
    case Json::Kind::kNumber:
      if (value.is_integer && value.integer != 0) {
        out->Value(value.integer);
      } else {
        out->Value(value.number);
      }
      break;
    case Json::Kind::kString:
      out->Value(value.text);
      break;
    case Json::Kind::kArray:
      out->BeginArray();
      for (const Json& item : value.items) Write(item, out);
      out->EndArray();
      break;
    case Json::Kind::kObject:
      out->BeginObject();
      for (const Json::Member& member : value.members) {
        out->Key(member.first);
        Write(member.second, out);
      }
      out->EndObject();
  }
}

bool Same(const Json& a, const Json& b) {
  if (a.kind != b.kind || a.boolean != b.boolean) return false;
  if (std::memcmp(&a.number, &b.number, sizeof(double)) != 0) return false;
  if (a.is_integer && b.is_integer && a.integer != b.integer)
    return false;  // 1e2 comes back as 100
  if (a.IsString() && a.text != b.text) return false;
  if (a.items.size() != b.items.size() || a.members.size() != b.members.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!Same(a.items[i], b.items[i])) return false;
  }
  for (size_t i = 0; i < a.members.size(); ++i) {
    if (a.members[i].first != b.members[i].first) return false;
    if (!Same(a.members[i].second, b.members[i].second)) return false;
  }
  return true;
}

// A message for people begins with a place and holds nothing that controls a terminal.
bool IsReadable(const std::string& message) {
  if (message.rfind("rows:1: ", 0) != 0) return false;
  for (const char c : message) {
    if (c < ' ' || c > '~') return false;
  }
  return message.size() < 400;
}

std::string Input(Mutator* mutator) {
  switch (mutator->Below(4)) {
    case 0:
      return mutator->RandomBytes(40);
    case 1:
      return mutator->RandomPieces(12);
    default:
      return mutator->Damaged(kGood);
  }
}

TEST(ParseJsonFuzz, RefusesInWordsOrTakesWhatWritesBack) {
  int taken = 0, refused = 0;
  for (uint64_t round = 0; round < 40'000; ++round) {
    Mutator mutator(round, kPieces);
    const std::string text = Input(&mutator);
    // A block of the exact size shows a sanitizer each byte read past the end.
    const auto block = std::make_unique<char[]>(text.size());
    std::memcpy(block.get(), text.data(), text.size());
    Json value;
    try {
      value = ParseJson({block.get(), text.size()}, "rows:1");
      ++taken;
    } catch (const Error& error) {
      ++refused;
      ASSERT_EQ(error.kind(), ErrorKind::kUser) << round;
      ASSERT_TRUE(IsReadable(error.message())) << round << ": " << error.message();
      continue;
    }
    JsonWriter out;
    Write(value, &out);
    ASSERT_TRUE(Same(ParseJson(out.text(), "written"), value)) << round << ": " << out.text();
  }
  EXPECT_GT(taken, 1'000);
  EXPECT_GT(refused, 10'000);
}

// Every line is a row, an error that names it, or empty; and the reader always comes to the end.
TEST(JsonLinesFuzz, EveryLineIsARowOrAnErrorThatNamesIt) {
  const TempFolder folder;
  int rows = 0, errors = 0;
  for (uint64_t round = 0; round < 250; ++round) {
    Mutator mutator(round, kPieces);
    std::string text;
    for (size_t n = mutator.Below(5); n > 0; --n) text += Input(&mutator) + "\n";
    text += Input(&mutator);
    const std::string path = folder.Write("rows", text);
    const auto lines = static_cast<int64_t>(std::count(text.begin(), text.end(), '\n') + 1);
    JsonLinesReader reader(path, "data");
    Json row;
    int64_t before = 0;
    for (bool more = true; more;) {
      try {
        more = reader.Next(&row);
        if (!more) break;
        ++rows;
        ASSERT_TRUE(row.IsObject());
      } catch (const Error& error) {
        ++errors;
        ASSERT_EQ(
            error.message().rfind(path + ":" + std::to_string(reader.line_number()) + ": ", 0), 0u)
            << error.message();
      }
      ASSERT_GT(reader.line_number(), before) << round;
      before = reader.line_number();
    }
    ASSERT_LE(reader.line_number(), lines);
    ASSERT_GE(reader.line_number() + (text.empty() || text.back() == '\n' ? 1 : 0), lines);
  }
  EXPECT_GT(rows, 10);
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace grouper
