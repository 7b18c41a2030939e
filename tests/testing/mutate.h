// Seeded damage to bytes, for fuzz tests: the same seed and round give the same bytes everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace grouper::testing_support {

class Mutator {
 public:
  // `pieces` are worth inserting: signs and words of the format.
  Mutator(uint64_t round, std::vector<std::string> pieces)
      : random_(1, RandomStream::kTaskGeneration, round), pieces_(std::move(pieces)) {}

  // Uniform in [0, end); end > 0.
  size_t Below(size_t end) {
    return static_cast<size_t>(random_.Uniform(0, static_cast<int64_t>(end) - 1));
  }
  std::string RandomBytes(size_t max_bytes) {
    std::string bytes(Below(max_bytes + 1), '\0');
    for (char& c : bytes) c = static_cast<char>(Below(256));
    return bytes;
  }
  // Random pieces in a row: nearly what the format wants.
  std::string RandomPieces(size_t max_pieces) {
    std::string bytes;
    for (size_t n = Below(max_pieces + 1); n > 0; --n) bytes += Piece();
    return bytes;
  }
  // One to four changes of a good input.
  std::string Damaged(std::string bytes) {
    for (size_t n = 1 + Below(4); n > 0; --n) Damage(&bytes);
    return bytes;
  }

 private:
  const std::string& Piece() { return pieces_[Below(pieces_.size())]; }
  void Damage(std::string* bytes) {
    const size_t at = Below(bytes->size() + 1);
    switch (Below(6)) {
      case 0:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>(Below(256));
        break;
      case 2:
        bytes->erase(at, 1 + Below(8));
        break;
      case 3:
        bytes->insert(at, Piece());
        break;
      case 4:
        bytes->resize(at);
        break;
      default:  // a part is repeated
        bytes->insert(Below(bytes->size() + 1), bytes->substr(at, Below(16)));
    }
  }

  PhiloxSequence random_;
  std::vector<std::string> pieces_;
};

}  // namespace grouper::testing_support
