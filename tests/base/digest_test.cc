#include "base/digest.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace grouper {
namespace {

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheHashOfTheWhole) {
  Sha256 hash;
  for (int i = 0; i < 1'000; ++i) hash.Update(std::string(static_cast<size_t>(i), 'a'));
  EXPECT_EQ(hash.FinishHex(), Sha256Hex(std::string(499'500, 'a')));
}

TEST(Sha256, EndsOnce) {
  Sha256 hash;
  hash.Finish();
  EXPECT_THROW(hash.Update("x"), Error);
  EXPECT_THROW(hash.Finish(), Error);
}

TEST(WordSumDigest, PartsInAnyOrderSumToTheWhole) {
  std::vector<uint32_t> words(101);
  std::iota(words.begin(), words.end(), 7u);
  const uint64_t whole = WordSumDigest(words.data(), words.size() * 4);
  for (size_t cut = 0; cut <= words.size(); cut += 10) {
    const uint64_t right = WordSumDigest(words.data() + cut, (words.size() - cut) * 4, cut);
    const uint64_t left = WordSumDigest(words.data(), cut * 4);
    EXPECT_EQ(right + left, whole) << cut;
  }
}

TEST(WordSumDigest, EveryBitAndEveryPlaceCounts) {
  std::vector<uint32_t> words = {1, 2, 3};
  const uint64_t whole = WordSumDigest(words.data(), 12);
  for (size_t bit = 0; bit < 96; ++bit) {
    std::vector<uint32_t> changed = words;
    changed[bit / 32] ^= 1u << (bit % 32);
    EXPECT_NE(WordSumDigest(changed.data(), 12), whole) << bit;
  }
  std::swap(words[0], words[2]);
  EXPECT_NE(WordSumDigest(words.data(), 12), whole);
}

TEST(WordSumDigest, BytesBehindTheLastWordCount) {
  const char bytes[] = "abcdefg";
  const uint64_t seven = WordSumDigest(bytes, 7);
  EXPECT_NE(seven, WordSumDigest(bytes, 6));
  EXPECT_NE(seven, WordSumDigest(bytes, 4));
  EXPECT_EQ(WordSumDigest(bytes, 0), 0u);
}

// RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string ascending(32, '\0');
  std::iota(ascending.begin(), ascending.end(), '\0');
  EXPECT_EQ(Crc32c(ascending), 0x46DD794Eu);
}

// Bit by bit, as the polynomial is defined; lengths around the eight bytes of one round.
TEST(Crc32c, TablesAgreeWithTheDefinition) {
  std::string bytes;
  for (int length = 0; length < 40; ++length) {
    uint32_t crc = 0xFFFFFFFFu;
    for (const char c : bytes) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
    }
    EXPECT_EQ(Crc32c(bytes), ~crc) << length;
    bytes.push_back(static_cast<char>(length * 37 + 200));
  }
}

TEST(MaskedCrc32c, RotatesAndAdds) {
  const uint32_t crc = 0xE3069283u;
  EXPECT_EQ(MaskedCrc32c("123456789"), ((crc >> 15) | (crc << 17)) + 0xA282EAD8u);
  EXPECT_EQ(MaskedCrc32c(""), 0xA282EAD8u);
}

}  // namespace
}  // namespace grouper
