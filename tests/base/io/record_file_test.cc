#include "base/io/record_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/digest.h"
#include "base/error.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;
using Texts = std::vector<std::string>;

struct Seen {
  Texts records;
  uint64_t valid_bytes = 0;
  bool torn = false;
};

Seen ReadAll(const std::string& path) {
  RecordReader reader(path);
  Seen seen;
  std::string record;
  while (reader.Next(&record)) seen.records.push_back(record);
  seen.valid_bytes = reader.valid_bytes();
  seen.torn = reader.torn();
  return seen;
}

const Texts kRecords = {"first", "", std::string("\0\xFF\n", 3), "the last one"};

// Bytes of a file of these records, and where each of them ends.
std::string Framed(const TempFolder& folder, const Texts& records, std::vector<uint64_t>* ends) {
  const std::string path = JoinPath(folder.path(), "framed");
  {
    RecordWriter writer(path, FileExists(path) ? 0 : -1);
    for (const std::string& record : records) {
      writer.Append(record);
      ends->push_back(writer.offset_bytes());
    }
  }
  return ReadFile(path, "t");
}

TEST(RecordFile, RecordsComeBackInOrder) {
  const TempFolder folder;
  Texts records = kRecords;
  for (const size_t bytes : {300'000u, 262'128u, 1u, 524'288u}) {  // around the reader's window
    records.emplace_back(bytes, 'r');
  }
  std::vector<uint64_t> ends;
  const std::string bytes = Framed(folder, records, &ends);
  const Seen seen = ReadAll(folder.Write("f", bytes));
  EXPECT_EQ(seen.records, records);
  EXPECT_EQ(seen.valid_bytes, bytes.size());
  EXPECT_FALSE(seen.torn);
}

// u64 length | u32 masked crc of the length | bytes | u32 masked crc of the bytes.
TEST(RecordFile, TheFrameIsTensorBoards) {
  const TempFolder folder;
  std::vector<uint64_t> ends;
  const std::string bytes = Framed(folder, {"abc"}, &ends);
  ASSERT_EQ(bytes.size(), 8u + 4 + 3 + 4);
  const std::string length("\x03\0\0\0\0\0\0\0", 8);
  const auto word = [&](size_t at) {
    uint32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return value;
  };
  EXPECT_EQ(bytes.substr(0, 8), length);
  EXPECT_EQ(word(8), MaskedCrc32c(length));
  EXPECT_EQ(bytes.substr(12, 3), "abc");
  EXPECT_EQ(word(15), MaskedCrc32c("abc"));
}

TEST(RecordFile, ACutAtEveryByteLeavesTheWholeFrames) {
  const TempFolder folder;
  std::vector<uint64_t> ends;
  const std::string bytes = Framed(folder, kRecords, &ends);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    size_t whole = 0;
    while (whole < ends.size() && ends[whole] <= cut) ++whole;
    const uint64_t valid = whole > 0 ? ends[whole - 1] : 0;
    const std::string path = folder.Write("cut", bytes.substr(0, cut));

    const Seen seen = ReadAll(path);
    ASSERT_EQ(seen.records, Texts(kRecords.begin(), kRecords.begin() + static_cast<long>(whole)));
    ASSERT_EQ(seen.valid_bytes, valid) << cut;
    ASSERT_EQ(seen.torn, cut != valid) << cut;
    ASSERT_EQ(RecordResumeOffset(path, -1), valid) << cut;

    RecordWriter(path, static_cast<int64_t>(valid)).Append("again");
    const Seen resumed = ReadAll(path);
    ASSERT_EQ(resumed.records.size(), whole + 1) << cut;
    ASSERT_EQ(resumed.records.back(), "again");
    ASSERT_FALSE(resumed.torn);
  }
}

TEST(RecordFile, EveryFlippedBitEndsTheFileAtItsFrame) {
  const TempFolder folder;
  std::vector<uint64_t> ends;
  const std::string bytes = Framed(folder, kRecords, &ends);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    size_t hit = 0;
    while (ends[hit] <= bit / 8) ++hit;
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    const Seen seen = ReadAll(folder.Write("flipped", changed));
    ASSERT_EQ(seen.records, Texts(kRecords.begin(), kRecords.begin() + static_cast<long>(hit)))
        << bit;
    ASSERT_TRUE(seen.torn) << bit;
  }
}

std::string Header(uint64_t length) {
  std::string header(8, '\0');
  std::memcpy(header.data(), &length, 8);
  const uint32_t crc = MaskedCrc32c(header);
  header.resize(12);
  std::memcpy(header.data() + 8, &crc, 4);
  return header;
}

// A length with a right check sum is still no reason to take that much memory.
TEST(RecordFile, LengthsOverTheLimitAreNoFrames) {
  const TempFolder folder;
  for (const uint64_t length :
       {kMaxRecordBytes + 1, uint64_t{1} << 40, uint64_t{1} << 63,
        std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max() - 15}) {
    const Seen seen = ReadAll(folder.Write("f", Header(length) + "abcd"));
    EXPECT_TRUE(seen.records.empty());
    EXPECT_EQ(seen.valid_bytes, 0u);
    EXPECT_TRUE(seen.torn);
  }
  RecordWriter writer(JoinPath(folder.path(), "w"));
  EXPECT_THROW(writer.Append(std::string(kMaxRecordBytes + 1, 'x')), Error);
  EXPECT_EQ(writer.offset_bytes(), 0u);
}

TEST(RecordFile, AReaderSeesWhatIsAppendedBehindItsEnd) {
  const TempFolder folder;
  std::vector<uint64_t> ends;
  const std::string bytes = Framed(folder, {"one", "two"}, &ends);
  const std::string path = folder.Write("growing", bytes.substr(0, bytes.size() - 2));
  RecordReader reader(path);
  std::string record;
  ASSERT_TRUE(reader.Next(&record));
  EXPECT_FALSE(reader.Next(&record));
  EXPECT_TRUE(reader.torn());
  folder.Write("growing", bytes);  // the same file, now with its last two bytes
  ASSERT_TRUE(reader.Next(&record));
  EXPECT_EQ(record, "two");
  EXPECT_FALSE(reader.Next(&record));
  EXPECT_FALSE(reader.torn());
}

TEST(RecordResumeOffset, GoesOnAtTheCheckpointsOffsetOnly) {
  const TempFolder folder;
  std::vector<uint64_t> ends;
  const std::string path = folder.Write("f", Framed(folder, kRecords, &ends) + "torn");
  EXPECT_EQ(RecordResumeOffset(path, -1), ends.back());
  EXPECT_EQ(RecordResumeOffset(path, 0), 0u);
  for (const uint64_t end : ends) {
    EXPECT_EQ(RecordResumeOffset(path, static_cast<int64_t>(end)), end);
    for (const int64_t off : {-1, 1}) {
      const std::string message =
          UserErrorOf([&] { RecordResumeOffset(path, static_cast<int64_t>(end) + off); });
      EXPECT_NE(message.find("does not hold whole frames"), std::string::npos) << message;
      EXPECT_NE(message.find("file=" + path), std::string::npos) << message;
      EXPECT_NE(message.find("use an older checkpoint"), std::string::npos) << message;
    }
  }
  const std::string missing = JoinPath(folder.path(), "none");
  EXPECT_EQ(RecordResumeOffset(missing, -1), 0u);
  EXPECT_EQ(RecordResumeOffset(missing, 0), 0u);
  UserErrorOf([&] { RecordResumeOffset(missing, 5); });
}

TEST(RecordReader, AMissingFileAndAFolderAreThePersonsToFix) {
  const TempFolder folder;
  for (const std::string& path : {JoinPath(folder.path(), "none"), folder.path()}) {
    const std::string message = UserErrorOf([&] {
      RecordReader reader(path);
      std::string record;
      reader.Next(&record);
    });
    EXPECT_NE(message.find(path), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace grouper
