#include "base/io/json_lines.h"

#include <gtest/gtest.h>

#include <iostream>
#include <streambuf>

#include "base/error.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

// "number:value" of every row.
std::vector<std::string> Rows(const std::string& path) {
  JsonLinesReader reader(path, "data.train");
  std::vector<std::string> rows;
  Json row;
  while (reader.Next(&row)) {
    rows.push_back(std::to_string(reader.line_number()) + ":" +
                   std::to_string(row.Integer("a", reader.where())));
  }
  EXPECT_FALSE(reader.Next(&row)) << "the end stays the end";
  return rows;
}

using Texts = std::vector<std::string>;

TEST(JsonLinesReader, LineEndsAndEmptyLines) {
  const TempFolder folder;
  const auto rows = [&](std::string_view bytes) { return Rows(folder.Write("rows.jsonl", bytes)); };
  EXPECT_EQ(rows(""), Texts{});
  EXPECT_EQ(rows("\n\r\n \t\n"), Texts{});
  EXPECT_EQ(rows("{\"a\":1}\n{\"a\":2}\n"), (Texts{"1:1", "2:2"}));
  EXPECT_EQ(rows("{\"a\":1}\n{\"a\":2}"), (Texts{"1:1", "2:2"}));
  EXPECT_EQ(rows("{\"a\":1}\r\n\r\n{\"a\":2}\r\n"), (Texts{"1:1", "3:2"}));
  EXPECT_EQ(rows("\n\n  {\"a\":1}  \n\t\n{\"a\":2}\r"), (Texts{"3:1", "5:2"}));
}

TEST(JsonLinesReader, AByteOrderMarkOpensAFile) {
  const TempFolder folder;
  EXPECT_EQ(Rows(folder.Write("rows.jsonl", "\xEF\xBB\xBF{\"a\":1}\n{\"a\":2}\n")),
            (Texts{"1:1", "2:2"}));
}

TEST(JsonLinesReader, TheRawLineIsKept) {
  const TempFolder folder;
  JsonLinesReader reader(folder.Write("rows.jsonl", "\n { \"a\" : 1 } \r\n"), "rows");
  Json row;
  ASSERT_TRUE(reader.Next(&row));
  EXPECT_EQ(reader.line(), " { \"a\" : 1 } ");
  EXPECT_EQ(reader.where(), JoinPath(folder.path(), "rows.jsonl") + ":2");
}

TEST(JsonLinesReader, ABadRowNamesItsLineAndTheNextOneIsRead) {
  const TempFolder folder;
  JsonLinesReader reader(
      folder.Write("rows.jsonl", "{\"a\":1}\n\n{\"a\":\n[1]\n7\n\xFF\n{\"a\":2}\n"), "rows");
  Json row;
  ASSERT_TRUE(reader.Next(&row));
  for (const char* line :
       {"rows.jsonl:3: ", "rows.jsonl:4: ", "rows.jsonl:5: ", "rows.jsonl:6: "}) {
    const std::string message = UserErrorOf([&] { reader.Next(&row); });
    EXPECT_NE(message.find(line), std::string::npos) << message;
  }
  ASSERT_TRUE(reader.Next(&row));
  EXPECT_EQ(row.Integer("a", "t"), 2);
  EXPECT_FALSE(reader.Next(&row));
}

TEST(JsonLinesReader, AMissingFileAndAFolderAreNamed) {
  const TempFolder folder;
  const std::string missing = JoinPath(folder.path(), "missing.jsonl");
  for (const std::string& path : {missing, folder.path()}) {
    const std::string message = UserErrorOf([&] { JsonLinesReader reader(path, "data.train"); });
    EXPECT_EQ(message.rfind("[data.train] cannot read " + path + ": ", 0), 0u) << message;
    EXPECT_NE(message.find("; name a JSONL file"), std::string::npos) << message;
  }
}

// Gives one row, then fails like a file on a bad disk.
class FailingInput final : public std::streambuf {
 public:
  FailingInput() : text_("{\"a\":1}\n{\"a\"") {
    setg(text_.data(), text_.data(), text_.data() + text_.size());
  }

 protected:
  int_type underflow() override { throw std::ios_base::failure("no more"); }

 private:
  std::string text_;
};

TEST(JsonLinesReader, AReadErrorIsAnErrorAndNotTheEnd) {
  FailingInput input;
  std::streambuf* before = std::cin.rdbuf(&input);
  JsonLinesReader reader("-", "data.train");
  Json row;
  EXPECT_TRUE(reader.Next(&row));
  try {
    reader.Next(&row);
    ADD_FAILURE() << "a row was made of half a line";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_EQ(error.message().rfind("standard input:2: ", 0), 0u) << error.message();
  }
  std::cin.rdbuf(before);
}

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

TEST(JsonLinesReader, ALineOfTheLimitIsARow) {
  const TempFolder folder;
  std::string line = "{\"a\":1}";
  line.resize(size_t{16} << 20, ' ');
  EXPECT_EQ(Rows(folder.Write("rows.jsonl", line + "\n{\"a\":2}")), (Texts{"1:1", "2:2"}));
  EXPECT_EQ(Rows(folder.Write("rows.jsonl", line + "\r\n{\"a\":2}")), (Texts{"1:1", "2:2"}));
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
