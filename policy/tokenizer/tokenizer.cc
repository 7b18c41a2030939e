#include "policy/tokenizer/tokenizer.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"

namespace grouper {
namespace {
constexpr const char* kSpecials[7] = {"<pad>",    "<bos>",    "<eos>",    "<think>",
                                      "</think>", "<answer>", "</answer>"};
}  // namespace

void Tokenizer::Add(std::string piece) {
  std::vector<int32_t>& bucket = by_first_byte_[static_cast<unsigned char>(piece[0])];
  const auto shorter = std::find_if(bucket.begin(), bucket.end(), [&](int32_t id) {
    return pieces_[static_cast<size_t>(id)].size() < piece.size();
  });
  bucket.insert(shorter, static_cast<int32_t>(pieces_.size()));
  pieces_.push_back(std::move(piece));
}

std::unique_ptr<Tokenizer> Tokenizer::Make(const std::string& name) {
  USER_CHECK(name == "words" || name == "bytes",
             "[tokenizer] data.tokenizer must be words or bytes",
             Named("data.tokenizer", Excerpt(name)));
  std::unique_ptr<Tokenizer> t(new Tokenizer());
  t->name_ = name;
  if (name == "bytes") {
    for (int byte = 0; byte < 256; ++byte) t->Add(std::string(1, static_cast<char>(byte)));
  }
  t->first_special_ = static_cast<int32_t>(t->pieces_.size());
  for (const char* special : kSpecials) t->Add(special);
  if (name == "words") {
    for (const char* piece : {"make ", " from ", "fit ", ", ", "calc ", " no", " yes"})
      t->Add(piece);
    for (char sign : std::string("+-*()=;xf")) t->Add(std::string(1, sign));
    for (int number = 0; number < 100; ++number) t->Add(std::to_string(number));
  }
  return t;
}

std::unique_ptr<Tokenizer> Tokenizer::Numbers(int64_t vocab_size) {
  std::unique_ptr<Tokenizer> t(new Tokenizer());
  t->name_ = "numbers";
  t->first_special_ = -100;  // no id reaches a special
  for (int64_t id = 0; id < vocab_size; ++id) t->pieces_.push_back(std::to_string(id) + " ");
  return t;
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool parse_specials) const {
  return parse_specials ? EncodeWith(text, pad(), end_answer() + 1) : EncodeWith(text, 0, 0);
}

std::vector<int32_t> Tokenizer::EncodeWithTags(std::string_view text) const {
  return EncodeWith(text, think(), end_answer() + 1);
}

std::vector<int32_t> Tokenizer::EncodeWith(std::string_view text, int32_t first,
                                           int32_t end) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const std::vector<int32_t>& bucket = by_first_byte_[static_cast<unsigned char>(rest[0])];
    const auto found = std::find_if(bucket.begin(), bucket.end(), [&](int32_t id) {
      const bool allowed = !IsSpecial(id) || (id >= first && id < end);
      return allowed && rest.starts_with(Bytes(id));
    });
    if (found == bucket.end()) {
      ThrowUser("[tokenizer] data.tokenizer \"" + name_ +
                    "\" has no token for the text at this byte; set data.tokenizer=bytes",
                Named("byte", at), Named("text", Excerpt(rest, 12)));
    }
    ids.push_back(*found);
    at += Bytes(*found).size();
  }
  return ids;
}

std::string_view Tokenizer::Bytes(int32_t id) const {
  CHECK(id >= 0 && id < vocab_size(), "[tokenizer] no token has this id", Named("id", id),
        Named("vocab_size", vocab_size()));
  return pieces_[static_cast<size_t>(id)];
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) text += Bytes(id);
  return text;
}

std::string Tokenizer::Sha256() const {
  std::string all;
  for (const std::string& piece : pieces_) all += std::to_string(piece.size()) + ":" + piece;
  return Sha256Hex(all);
}

}  // namespace grouper
