// Two tokenizers: "words", the quickstart's vocabulary of 123 (specials, word pieces, signs, the
// numbers 0 to 99 as one token each, longest match), and "bytes", 256 bytes and the specials.
// Immutable, thread-safe. Specials are parsed in text only where the caller asks for it, so that
// text which others wrote, such as a question, stays text.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace grouper {

class Tokenizer {
 public:
  // kUser when no tokenizer has this name.
  static std::unique_ptr<Tokenizer> Make(const std::string& name);
  // Benchmarks: every id is its number and a space, none is special, so nothing but the cap ends a
  // completion. It encodes nothing.
  static std::unique_ptr<Tokenizer> Numbers(int64_t vocab_size);

  const std::string& name() const { return name_; }
  int64_t vocab_size() const { return static_cast<int64_t>(pieces_.size()); }
  // kUser naming the byte and the text when a place cannot be encoded.
  std::vector<int32_t> Encode(std::string_view text, bool parse_specials) const;
  // The same, where <think>, </think>, <answer> and </answer> become their tokens and the other
  // specials stay text, so that no text can spell <pad>, <bos> or <eos>.
  std::vector<int32_t> EncodeWithTags(std::string_view text) const;
  // Bytes of one token; specials as their literal text. kInternal outside [0, vocab_size).
  std::string_view Bytes(int32_t id) const;
  std::string Decode(std::span<const int32_t> ids) const;
  bool IsSpecial(int32_t id) const { return id >= first_special_ && id < first_special_ + 7; }
  int32_t pad() const { return first_special_; }
  int32_t bos() const { return first_special_ + 1; }
  int32_t eos() const { return first_special_ + 2; }
  int32_t think() const { return first_special_ + 3; }
  int32_t end_think() const { return first_special_ + 4; }
  int32_t answer() const { return first_special_ + 5; }
  int32_t end_answer() const { return first_special_ + 6; }
  // SHA-256 over the pieces in order.
  std::string Sha256() const;

 private:
  Tokenizer() = default;
  void Add(std::string piece);
  // Specials become tokens only if their id is in [first, end).
  std::vector<int32_t> EncodeWith(std::string_view text, int32_t first, int32_t end) const;
  std::string name_;
  std::vector<std::string> pieces_;
  std::array<std::vector<int32_t>, 256> by_first_byte_;  // longest piece first
  int32_t first_special_ = 0;
};

}  // namespace grouper
