#include "policy/tokenizer.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"

namespace grouper {
namespace {
constexpr const char* kSpecials[7] = {"<pad>",    "<bos>",    "<eos>",    "<think>",
                                      "</think>", "<answer>", "</answer>"};
}  // namespace

void Tokenizer::Add(std::string piece) {
  longest_ = std::max(longest_, piece.size());
  ids_.emplace(piece, static_cast<int32_t>(pieces_.size()));
  pieces_.push_back(std::move(piece));
}

std::unique_ptr<Tokenizer> Tokenizer::Make(const std::string& name) {
  USER_CHECK(name == "words" || name == "bytes",
             "[tokenizer] data.tokenizer must be words or bytes, got", name);
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

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool parse_specials) const {
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    int32_t found = -1;
    size_t length = std::min(longest_, text.size() - at);
    for (; length > 0; --length) {
      const auto it = ids_.find(text.substr(at, length));
      if (it == ids_.end() || (IsSpecial(it->second) && !parse_specials)) continue;
      found = it->second;
      break;
    }
    if (found < 0) {
      ThrowUser("[tokenizer] \"" + name_ +
                    "\" has no token for the text at this byte; use data.tokenizer: "
                    "\"bytes\" (byte, text)",
                at, std::string(text.substr(at, 12)));
    }
    ids.push_back(found);
    at += length;
  }
  return ids;
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
