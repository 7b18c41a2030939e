#include "policy/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <ctime>

#include "base/error.h"
#include "tests/testing/safetensors_bytes.h"

namespace grouper {
namespace {

using testing::SafetensorsEntry;
using testing::WriteSafetensors;

constexpr const char* kPath = "run/w.safetensors";

std::string FileOf(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, '\1');
}

std::string Tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

SafetensorsEntry Entry(std::string name, std::string dtype, std::vector<int64_t> shape,
                       size_t bytes) {
  return {std::move(name), std::move(dtype), std::move(shape), std::vector<char>(bytes, 'd')};
}

// The message of the refusal; the empty text when the file is taken.
std::string Refusal(const std::string& file) {
  try {
    ReadSafetensors(file, kPath);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser) << error.message();
    return error.message();
  }
}

TEST(Safetensors, GivesBackWhatWasWritten) {
  std::vector<SafetensorsEntry> entries;
  entries.push_back(Entry("layers.1.w", "F32", {2, 3}, 24));
  for (size_t i = 0; i < 24; ++i) entries[0].bytes[i] = static_cast<char>(i * 11);
  entries.push_back(Entry("a\"quoted\\name", "I32", {}, 4));
  entries.push_back(Entry("none", "F64", {0, 5}, 0));
  entries.push_back(Entry("bits", "U8", {3}, 3));
  const std::vector<char> weights = entries[0].bytes;
  const std::string file = WriteSafetensors(std::move(entries));

  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(file.size(), 8 + length + 31);
  const SafetensorsFile read = ReadSafetensors(file, kPath);
  ASSERT_EQ(read.tensors.size(), 4u);
  EXPECT_EQ(read.tensors[0].name, "a\"quoted\\name");
  EXPECT_EQ(read.tensors[1].name, "bits");
  const SafetensorsView* w = read.Find("layers.1.w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->dtype, "F32");
  EXPECT_EQ(w->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(w->bytes, std::string_view(weights.data(), weights.size()));
  ASSERT_NE(read.Find("none"), nullptr);
  EXPECT_TRUE(read.Find("none")->bytes.empty());
  EXPECT_EQ(read.Find("other"), nullptr);
}

TEST(Safetensors, TheOrderOfEntriesDoesNotMatter) {
  const auto make = [](bool turned) {
    std::vector<SafetensorsEntry> e;
    e.push_back(Entry(turned ? "b" : "a", "F32", {1}, 4));
    e.push_back(Entry(turned ? "a" : "b", "F32", {1}, 4));
    return WriteSafetensors(std::move(e));
  };
  EXPECT_EQ(make(false), make(true));
  EXPECT_TRUE(ReadSafetensors(WriteSafetensors({}), kPath).tensors.empty());
}

TEST(Safetensors, TheWriterRefusesWhatTheReaderWould) {
  const auto refused = [](std::vector<SafetensorsEntry> entries) {
    EXPECT_THROW(WriteSafetensors(std::move(entries)), Error);
  };
  refused({Entry("w", "F32", {-1}, 4)});
  refused({Entry("w", "F31", {1}, 4)});
  refused({Entry("", "F32", {1}, 4)});
  refused({Entry("w\n", "F32", {1}, 4)});
  refused({Entry("__metadata__", "F32", {1}, 4)});
  refused({Entry("w", "F32", {1}, 4), Entry("w", "F32", {1}, 4)});
  refused({Entry("w", "U8", {1, 1, 1, 1, 1, 1, 1, 1, 1}, 1)});
  refused({Entry("w", "U8", {INT64_MAX, INT64_MAX, 0}, 0)});
}

// 256 experts in 60 layers have about this many tensors. A search from the front would compare a
// billion names.
TEST(Safetensors, FiftyThousandTensorsAreFoundInLittleTime) {
  constexpr int kTensors = 50'000;
  std::vector<SafetensorsEntry> entries;
  for (int i = 0; i < kTensors; ++i) {
    entries.push_back(
        Entry("model.layers.7.mlp.experts." + std::to_string(i) + ".up_proj.weight", "U8", {1}, 1));
  }
  const std::string file = WriteSafetensors(entries);
  const SafetensorsFile read = ReadSafetensors(file, kPath);
  ASSERT_EQ(read.tensors.size(), entries.size());
  const std::clock_t begin = std::clock();  // of the processor, so that other programs do not count
  for (const SafetensorsEntry& entry : entries) {
    const SafetensorsView* found = read.Find(entry.name);
    ASSERT_TRUE(found != nullptr && found->name == entry.name);
  }
  EXPECT_LT(std::clock() - begin, CLOCKS_PER_SEC);
}

TEST(Safetensors, TakesWhatTheFormatAllows) {
  // Header order is free, padding and metadata are allowed, an empty tensor may lie anywhere.
  const std::string header =
      "{" + Tensor("b", "F32", "[1]", "[8,12]") + ",\"__metadata__\":{\"format\":\"pt\"}," +
      Tensor("e", "F32", "[0]", "[8,8]") + "," + Tensor("a", "F32", "[2]", "[0,8]") + "}   ";
  const std::string file = FileOf(header, 12);
  const SafetensorsFile read = ReadSafetensors(file, kPath);
  ASSERT_EQ(read.tensors.size(), 3u);
  EXPECT_EQ(read.tensors[0].name, "a");
  EXPECT_EQ(read.tensors[1].name, "e");
  EXPECT_EQ(read.tensors[2].name, "b");
}

TEST(Safetensors, RefusesEveryTruncationAndEveryByteBehind) {
  const std::string file = FileOf(
      "{" + Tensor("a", "F32", "[2]", "[0,8]") + "," + Tensor("b", "I32", "[1]", "[8,12]") + "}",
      12);
  ASSERT_EQ(Refusal(file), "");
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(Refusal(file.substr(0, size)).find(kPath), std::string::npos) << size;
  }
  EXPECT_NE(Refusal(file + "x").find("after the last tensor"), std::string::npos);
}

struct BadFile {
  const char* what;
  std::string file;
  const char* words;   // part of the message
  const char* tensor;  // named in the message, nullptr: the file alone is at fault
};

std::string WithLength(uint64_t length, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&length), 8) + rest;
}

// One tensor "w" alone.
BadFile One(const char* what, const std::string& dtype, const std::string& shape,
            const std::string& offsets, size_t data, const char* words) {
  return {what, FileOf("{" + Tensor("w", dtype, shape, offsets) + "}", data), words, "\"w\""};
}

BadFile Raw(const char* what, const std::string& header, size_t data, const char* words,
            const char* tensor = nullptr) {
  return {what, FileOf(header, data), words, tensor};
}

std::vector<BadFile> HeaderFiles() {
  const std::string deep(100'000, '[');
  return {
      {"empty file", "", "too short", nullptr},
      {"seven bytes", "1234567", "too short", nullptr},
      {"no header", WithLength(0, ""), "does not start with {", nullptr},
      {"no header, data", WithLength(0, "data"), "does not start with {", nullptr},
      {"header of all bits", WithLength(~uint64_t{0}, "{}"), "longer than", nullptr},
      {"length that wraps", WithLength(~uint64_t{0} - 7, "{}"), "longer than", nullptr},
      {"header past the file", WithLength(3, "{}"), "longer than", nullptr},
      {"header over 100 MB", WithLength(100'000'001, "{}"), "longer than", nullptr},
      {"header of 2^63", WithLength(uint64_t{1} << 63, "{}"), "longer than", nullptr},
      Raw("blank before the brace", " {}", 0, "does not start with {"),
      Raw("byte order mark", "\xEF\xBB\xBF{}", 0, "does not start with {"),
      Raw("array", "[]", 0, "does not start with {"),
      Raw("text", "\"w\"", 0, "does not start with {"),
      Raw("null", "null", 0, "does not start with {"),
      Raw("zero byte", std::string(1, '\0'), 0, "does not start with {"),
      Raw("open object", "{", 0, "byte"),
      Raw("comma at the end", "{" + Tensor("w", "U8", "[1]", "[0,1]") + ",}", 1, "byte"),
      Raw("two values", "{}{}", 0, "byte"),
      Raw("a second header behind a zero byte", "{}" + std::string(1, '\0') + "{\"w\":{}}", 0,
          "zero byte"),
      Raw("zero padding", "{}" + std::string(6, '\0'), 0, "zero byte"),
      Raw("comment", "{/**/}", 0, "byte"),
      Raw("single quotes", "{'w':1}", 0, "byte"),
      Raw("broken UTF-8 in a name", "{\"w\xFF\":{}}", 0, "byte"),
      Raw("overlong UTF-8 in a name", "{\"\xC0\xAF\":{}}", 0, "byte"),
      Raw("half a surrogate in a name", "{\"\\ud800\":{}}", 0, "byte"),
      Raw("control byte in a name", "{\"a\nb\":{}}", 0, "byte"),
      Raw("nested arrays", "{\"w\":" + deep + "}", 0, "deeper than"),
      Raw("shape nested too deep",
          "{\"w\":{\"dtype\":\"U8\",\"shape\":[[[[[[[[1]]]]]]]],\"data_offsets\":[0,1]}}", 1,
          "deeper than"),
      Raw("twice the same tensor",
          "{" + Tensor("w", "U8", "[1]", "[0,1]") + "," + Tensor("w", "U8", "[1]", "[1,2]") + "}",
          2, "twice"),
      Raw("twice the same name in two spellings",
          "{" + Tensor("w", "U8", "[1]", "[0,1]") + "," + Tensor("\\u0077", "U8", "[1]", "[1,2]") +
              "}",
          2, "twice"),
      Raw("metadata is a text", "{\"__metadata__\":\"pt\"}", 0, "__metadata__"),
      Raw("metadata holds a number", "{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"),
      Raw("metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"),
      Raw("no tensor for the data", "{}", 1, "after the last tensor"),
  };
}

std::vector<BadFile> TensorFiles() {
  const std::string name_513(513, 'n');
  return {
      Raw("tensor is a number", "{\"w\":1}", 0, "is not an object", "\"w\""),
      Raw("tensor is null", "{\"w\":null}", 0, "is not an object", "\"w\""),
      Raw("tensor is a list", "{\"w\":[]}", 0, "is not an object", "\"w\""),
      Raw("no dtype", "{\"w\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype", "\"w\""),
      Raw("no shape", "{\"w\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape", "\"w\""),
      Raw("no offsets", "{\"w\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets", "\"w\""),
      Raw("dtype is a number", "{\"w\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
          "dtype", "\"w\""),
      Raw("dtype twice",
          "{\"w\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
          "twice"),
      Raw("unknown field",
          "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"stride\":[1]}}", 1,
          "unknown field", "\"w\""),
      Raw("empty name", "{" + Tensor("", "U8", "[1]", "[0,1]") + "}", 1, "printable", "\"\""),
      Raw("name of 513 bytes", "{" + Tensor(name_513, "U8", "[1]", "[0,1]") + "}", 1, "printable",
          "nnn..."),
      Raw("terminal control in a name", "{" + Tensor("\\u001b[2J", "U8", "[1]", "[0,1]") + "}", 1,
          "printable", "\\x1b[2J"),
      Raw("C1 control in a name", "{" + Tensor("\xC2\x9B", "U8", "[1]", "[0,1]") + "}", 1,
          "printable", "\\xc2\\x9b"),
      Raw("zero byte in a name", "{" + Tensor("w\\u0000", "U8", "[1]", "[0,1]") + "}", 1,
          "printable", "w\\x00"),
      One("unknown dtype", "F31", "[1]", "[0,4]", 4, "unknown dtype: dtype=F31"),
      One("dtype in lower case", "f32", "[1]", "[0,4]", 4, "unknown dtype"),
      One("empty dtype", "", "[1]", "[0,4]", 4, "unknown dtype"),
      One("control in a dtype", "\\u001b", "[1]", "[0,4]", 4, "unknown dtype: dtype=\\x1b"),
      One("shape is a number", "U8", "1", "[0,1]", 1, "no shape"),
      One("shape is a text", "U8", "\"1\"", "[0,1]", 1, "no shape"),
      One("shape is null", "U8", "null", "[0,1]", 1, "no shape"),
      One("shape is an object", "U8", "{}", "[0,1]", 1, "no shape"),
      One("nine extents", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1, "at most 8"),
      One("negative extent", "U8", "[-1]", "[0,1]", 1, "not a list of counts"),
      One("two negative extents", "U8", "[-1,-1]", "[0,1]", 1, "not a list of counts"),
      One("extent with a fraction", "U8", "[1.0]", "[0,1]", 1, "not a list of counts"),
      One("extent with an exponent", "U8", "[1e0]", "[0,1]", 1, "not a list of counts"),
      One("extent is a text", "U8", "[\"1\"]", "[0,1]", 1, "not a list of counts"),
      One("extent is true", "U8", "[true]", "[0,1]", 1, "not a list of counts"),
      One("extent is a list", "U8", "[[1]]", "[0,1]", 1, "not a list of counts"),
      One("extent of 2^63", "U8", "[9223372036854775808]", "[0,1]", 1, "not a list of counts"),
      One("extent of 2^64 + 1", "U8", "[18446744073709551617]", "[0,1]", 1, "not a list of counts"),
      One("size overflows", "F32", "[4611686018427387904,4]", "[0,0]", 0, "overflows"),
      One("size wraps to 4", "F32", "[4294967296,4294967296,1]", "[0,4]", 4, "overflows"),
      One("overflow behind a zero", "F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]",
          0, "overflows"),
      One("overflow before a zero", "F64", "[9223372036854775807,9223372036854775807,0]", "[0,0]",
          0, "overflows"),
      One("unit overflows", "F64", "[9223372036854775807]", "[0,8]", 8, "overflows"),
  };
}

std::vector<BadFile> OffsetFiles() {
  const auto two = [](const char* what, const std::string& a, const std::string& b, size_t data,
                      const char* words, const char* tensor) {
    return Raw(what, "{" + Tensor("a", "U8", "[4]", a) + "," + Tensor("b", "U8", "[4]", b) + "}",
               data, words, tensor);
  };
  return {
      One("offsets are a number", "U8", "[1]", "1", 1, "no data_offsets"),
      One("offsets are null", "U8", "[1]", "null", 1, "no data_offsets"),
      One("one offset", "U8", "[1]", "[0]", 1, "no data_offsets"),
      One("three offsets", "U8", "[1]", "[0,1,1]", 1, "no data_offsets"),
      One("negative begin", "U8", "[1]", "[-1,0]", 1, "no data_offsets"),
      One("offsets backwards", "U8", "[1]", "[1,0]", 1, "no data_offsets"),
      One("offset with a fraction", "U8", "[1]", "[0,1.0]", 1, "no data_offsets"),
      One("offset is a text", "U8", "[1]", "[0,\"1\"]", 1, "no data_offsets"),
      One("offset of 2^63", "U8", "[1]", "[0,9223372036854775808]", 1, "no data_offsets"),
      One("offset of 2^64 + 1", "U8", "[1]", "[0,18446744073709551617]", 1, "no data_offsets"),
      One("end one past the file", "U8", "[2]", "[0,2]", 1, "ends past the file"),
      One("end far past the file", "U8", "[9223372036854775807]", "[0,9223372036854775807]", 1,
          "ends past the file"),
      One("empty tensor past the file", "U8", "[0]", "[2,2]", 1, "ends past the file"),
      One("fewer bytes than the shape", "F32", "[2]", "[0,4]", 4, "do not fit its shape"),
      One("more bytes than the shape", "F32", "[1]", "[0,8]", 8, "do not fit its shape"),
      One("wrong unit", "F64", "[2]", "[0,8]", 8, "do not fit its shape"),
      One("bytes for a zero factor", "F32", "[0]", "[0,4]", 4, "do not fit its shape"),
      One("no bytes for a scalar", "F32", "[]", "[0,0]", 0, "do not fit its shape"),
      One("gap at the start", "U8", "[1]", "[1,2]", 2, "leaves a gap"),
      One("empty tensor behind a gap", "U8", "[0]", "[1,1]", 1, "leaves a gap"),
      Raw("data behind the tensor", "{" + Tensor("w", "U8", "[1]", "[0,1]") + "}", 2,
          "after the last tensor"),
      two("same place", "[0,4]", "[0,4]", 4, "overlaps", "\"b\""),
      two("overlap of one byte", "[0,4]", "[3,7]", 7, "overlaps", "\"b\""),
      two("gap of one byte", "[0,4]", "[5,9]", 9, "leaves a gap", "\"b\""),
      two("overlap in turned order", "[3,7]", "[0,4]", 7, "overlaps", "\"a\""),
      two("gap in turned order", "[5,9]", "[0,4]", 9, "leaves a gap", "\"a\""),
      Raw("empty tensor inside another",
          "{" + Tensor("a", "U8", "[4]", "[0,4]") + "," + Tensor("e", "U8", "[0]", "[2,2]") + "}",
          4, "overlaps", "\"e\""),
  };
}

struct BadFiles {
  const char* name;
  std::vector<BadFile> (*files)();
};

class BadSafetensors : public ::testing::TestWithParam<BadFiles> {};

TEST_P(BadSafetensors, AreRefusedInWords) {
  for (const BadFile& bad : GetParam().files()) {
    SCOPED_TRACE(bad.what);
    const std::string message = Refusal(bad.file);
    EXPECT_NE(message.find(kPath), std::string::npos) << message;
    EXPECT_NE(message.find(bad.words), std::string::npos) << message;
    if (bad.tensor != nullptr) {
      EXPECT_NE(message.find(bad.tensor), std::string::npos) << message;
    }
    for (char c : message) EXPECT_TRUE(c >= ' ' && c <= '~') << message;
  }
}

INSTANTIATE_TEST_SUITE_P(Safetensors, BadSafetensors,
                         ::testing::Values(BadFiles{"Headers", HeaderFiles},
                                           BadFiles{"Tensors", TensorFiles},
                                           BadFiles{"Offsets", OffsetFiles}),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace grouper
