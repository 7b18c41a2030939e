#include "base/json_lines.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

TEST(JsonLinesReader, TheRestOfALineThatIsTooLongIsNoRow) {
  const TempFolder folder;
  const std::string hidden = "{\"row\":\"hidden\"}", next = "{\"row\":\"next\"}\n";
  const std::string long_line((size_t{16} << 20) + 1, ' ');
  JsonLinesReader reader(folder.Write("rows.jsonl", long_line + hidden + "\n" + next), "rows");
  Json row;
  const std::string message = UserErrorOf([&] { reader.Next(&row); });
  EXPECT_NE(message.find("rows.jsonl:1: "), std::string::npos) << message;
  ASSERT_TRUE(reader.Next(&row));
  EXPECT_EQ(row.String("row", reader.where()), "next");
  EXPECT_EQ(reader.line_number(), 2);
  EXPECT_FALSE(reader.Next(&row));
}

TEST(JsonLinesReader, ALongLastLineEndsTheFile) {
  const TempFolder folder;
  JsonLinesReader reader(folder.Write("rows.jsonl", std::string((size_t{16} << 20) + 9, 'x')),
                         "rows");
  Json row;
  UserErrorOf([&] { reader.Next(&row); });
  EXPECT_FALSE(reader.Next(&row));
}

}  // namespace
}  // namespace grouper
