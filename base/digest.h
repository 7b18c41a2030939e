// SHA-256 (libcrypto) for files and identities, and CRC32C for record frames.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace grouper {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, size_t bytes);
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  // Ends the hash; call once.
  std::array<uint8_t, 32> Finish();
  std::string FinishHex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);

// A cheap digest of a tensor: the 64-bit sum of its 32-bit words, each mixed with its index.
// Threads may compute parts in any order and add them (docs/numerics.md 13).
uint64_t WordSumDigest(const void* data, size_t bytes, uint64_t first_index = 0);

// CRC32C (Castagnoli) and its masked form as used by record frames and TensorBoard:
// rotate_right(crc, 15) + 0xA282EAD8.
uint32_t Crc32c(std::string_view bytes);
uint32_t MaskedCrc32c(std::string_view bytes);

}  // namespace grouper
