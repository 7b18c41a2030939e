#include "base/digest.h"

#include <openssl/evp.h>

#include <cstring>

#include "base/error.h"
#include "base/hex.h"

namespace grouper {

struct Sha256::State {
  EVP_MD_CTX* context = nullptr;
  bool finished = false;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->context = EVP_MD_CTX_new();
  CHECK(state_->context != nullptr, "[digest] libcrypto did not make a context");
  CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
        "[digest] libcrypto does not offer SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::Update(const void* data, size_t bytes) {
  CHECK(!state_->finished, "[digest] the hash was updated after its end");
  CHECK(EVP_DigestUpdate(state_->context, data, bytes) == 1,
        "[digest] libcrypto could not hash the bytes", Named("bytes", bytes));
}

std::array<uint8_t, 32> Sha256::Finish() {
  CHECK(!state_->finished, "[digest] the hash was ended twice");
  state_->finished = true;
  std::array<uint8_t, 32> out{};
  unsigned int size = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, out.data(), &size) == 1 && size == out.size(),
        "[digest] libcrypto could not end the hash", Named("size", size));
  return out;
}

std::string Sha256::FinishHex() {
  std::string hex;
  hex.reserve(64);
  for (const uint8_t byte : Finish()) AppendHex(byte, &hex);
  return hex;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.FinishHex();
}

namespace {

// Finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection, so one changed word always
// changes its term.
uint64_t MixWord(uint32_t word, uint64_t index) {
  uint64_t x = (index + 1) * 0x9E3779B97F4A7C15u + word;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t WordSumDigest(const void* data, size_t bytes, uint64_t first_index) {
  const char* at = static_cast<const char*>(data);
  uint64_t sum = 0;
  uint64_t index = first_index;
  for (; bytes >= 4; bytes -= 4, at += 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += MixWord(word, index++);
  }
  if (bytes > 0) {
    uint32_t word = 0;
    std::memcpy(&word, at, bytes);
    sum += MixWord(word, index);
  }
  return sum;
}

namespace {

// Slicing by eight: table[k][b] is the CRC of byte b followed by k zero bytes.
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr CrcTables MakeCrcTables() {
  CrcTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr CrcTables kCrc = MakeCrcTables();

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t chunk;
    std::memcpy(&chunk, at, 8);  // little-endian machines only, like the record format
    chunk ^= crc;
    crc = kCrc[7][chunk & 255] ^ kCrc[6][(chunk >> 8) & 255] ^ kCrc[5][(chunk >> 16) & 255] ^
          kCrc[4][(chunk >> 24) & 255] ^ kCrc[3][(chunk >> 32) & 255] ^
          kCrc[2][(chunk >> 40) & 255] ^ kCrc[1][(chunk >> 48) & 255] ^ kCrc[0][chunk >> 56];
  }
  for (; left > 0; --left, ++at) {
    crc = (crc >> 8) ^ kCrc[0][(crc ^ static_cast<uint8_t>(*at)) & 255];
  }
  return ~crc;
}

uint32_t MaskedCrc32c(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

}  // namespace grouper
