// Seeded mutations of a good file: whatever comes in, the reader refuses in words or gives views
// that cover the data exactly. Files lie in blocks of their exact size, so that a sanitizer sees
// each byte read past the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/random.h"
#include "tests/testing/safetensors_bytes.h"

namespace grouper {
namespace {

constexpr int kRounds = 20'000;

std::string GoodFile() {
  std::vector<testing::SafetensorsEntry> entries;
  entries.push_back({"a", "F32", {2, 2}, std::vector<char>(16, 'a')});
  entries.push_back({"b", "U8", {3}, std::vector<char>(3, 'b')});
  entries.push_back({"c", "F64", {0, 7}, {}});
  return testing::WriteSafetensors(std::move(entries));
}

size_t Below(PhiloxSequence* random, size_t end) {
  return static_cast<size_t>(random->Uniform(0, static_cast<int64_t>(end) - 1));
}

void Mutate(PhiloxSequence* random, std::string* file) {
  static const std::string kSigns = "{}[]:,\"\\-+.0123456789eEFUI \n\xFF";
  static const char* kPieces[] = {"[0,16]",
                                  "9223372036854775807",
                                  "18446744073709551616",
                                  "-1",
                                  "\"a\":{",
                                  "[[[[",
                                  "null",
                                  "\"dtype\"",
                                  "\"U8\"",
                                  "\\u0000"};
  if (file->empty()) return;
  switch (random->Uniform(0, 7)) {
    case 0:
      (*file)[Below(random, file->size())] ^= static_cast<char>(1 << random->Uniform(0, 7));
      break;
    case 1:
      (*file)[Below(random, file->size())] = kSigns[Below(random, kSigns.size())];
      break;
    case 2:
      file->erase(Below(random, file->size()), 1 + Below(random, 8));
      break;
    case 3:
      file->insert(Below(random, file->size()), kPieces[Below(random, std::size(kPieces))]);
      break;
    case 4:
      file->resize(Below(random, file->size()));
      break;
    case 5: {  // a header length that fits or nearly fits
      const uint64_t length = Below(random, file->size() + 4);
      if (file->size() >= 8) std::memcpy(file->data(), &length, 8);
      break;
    }
    case 6: {  // one digit for another: offsets and extents
      const size_t digit = file->find_first_of("0123456789", Below(random, file->size()));
      if (digit != std::string::npos) {
        (*file)[digit] = static_cast<char>('0' + random->Uniform(0, 9));
      }
      break;
    }
    default: {  // a piece of the file once more
      const size_t from = Below(random, file->size());
      file->insert(Below(random, file->size()), file->substr(from, 1 + Below(random, 40)));
    }
  }
}

TEST(SafetensorsFuzz, RefusesOrCoversTheDataExactly) {
  const std::string good = GoodFile();
  int taken = 0, refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    PhiloxSequence random(1, RandomStream::kTaskGeneration, static_cast<uint64_t>(round));
    std::string text = good;
    for (int64_t n = random.Uniform(1, 3); n > 0; --n) Mutate(&random, &text);
    const std::unique_ptr<char[]> block(new char[text.size()]);
    std::copy(text.begin(), text.end(), block.get());
    const std::string_view file(block.get(), text.size());
    try {
      const SafetensorsFile read = ReadSafetensors(file, "f");
      uint64_t length = 0;
      std::memcpy(&length, file.data(), 8);
      const char* expected = file.data() + 8 + length;
      for (const SafetensorsView& view : read.tensors) {
        ASSERT_EQ(view.bytes.data(), expected) << "round " << round;
        expected += view.bytes.size();
      }
      ASSERT_EQ(expected, file.data() + file.size()) << "round " << round;
      ++taken;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kUser) << "round " << round << ": " << error.message();
      ASSERT_EQ(error.message().substr(0, 1), "f") << "round " << round;
      ++refused;
    }
  }
  // Both ways are taken: bytes of the data may change freely, those of the header hardly.
  EXPECT_GT(taken, kRounds / 100);
  EXPECT_GT(refused, kRounds / 2);
}

}  // namespace
}  // namespace grouper
