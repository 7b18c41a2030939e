#include "reward/math/number/unit.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/utf8.h"
#include "reward/math/number/unit_words.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;
constexpr int kMostWords = 6;
constexpr size_t kMostOpen = 8;
constexpr size_t kMostWordBytes = 32;

bool IsCjk(std::string_view word) { return ReadUtf8(word, 0).code >= 0x2E80; }

size_t Characters(std::string_view word) {
  return static_cast<size_t>(std::count_if(word.begin(), word.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Singular(std::string word) {
  if (word.size() > 3 && word.back() == 's' && word[word.size() - 2] != 's') word.pop_back();
  return word;
}

class UnitReader {
 public:
  explicit UnitReader(std::span<const NumberToken> tokens) : tokens_(tokens) {}

  bool Read(std::string* unit) {
    while (Peek().kind != Kind::kEnd) {
      if (!Piece()) return false;
    }
    if (!open_.empty() || join_ == '/' || !power_.empty()) return false;
    *unit = std::move(unit_);
    return true;
  }

 private:
  const NumberToken& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }

  bool Piece() {
    const NumberToken& token = Peek();
    ++at_;
    switch (token.kind) {
      case Kind::kBlank:
        detached_ = true;
        // A line break ends a sentence, not a unit.
        return token.text != "\n" || Peek().kind == Kind::kEnd;
      case Kind::kText:
        detached_ = true;
        return Peek().kind == Kind::kOpen;
      case Kind::kOpen:
        return Open(at_ >= 2 && tokens_[at_ - 2].kind == Kind::kText ? Bracket::kText
                                                                     : Bracket::kBrace);
      case Kind::kClose:
        return Close(/*round=*/false);
      case Kind::kOther:
        if (token.text == "(") return Open(Bracket::kRound);
        return token.text == ")" && Close(/*round=*/true);
      case Kind::kFraction:
        return Fraction();
      case Kind::kWord:
        return Word(token.text);
      case Kind::kCurrency:
        return AddUnit(CurrencyUnit(token.text));
      case Kind::kDegree:
        in_degrees_ = true;
        return AddUnit("degree");
      case Kind::kSlash:
        if (join_ != ' ') return false;
        join_ = '/';
        detached_ = true;
        return true;
      case Kind::kMinus:
      case Kind::kTimes:
        // Only between two words: "kilowatt-hour", "N\cdot m".
        detached_ = true;
        return words_ > 0 && NextIsWord();
      case Kind::kPoint:
        // An abbreviation's point: "sq. ft."
        return (words_ > 0 || !power_.empty()) &&
               (Peek().kind == Kind::kBlank || Peek().kind == Kind::kEnd ||
                Peek().kind == Kind::kClose);
      case Kind::kCaret:
        return Caret();
      case Kind::kSuperscript:
        return Raise(token.superscript);
      default:
        return false;
    }
  }

  enum class Bracket { kText, kBrace, kRound };

  bool Open(Bracket bracket) {
    if (bracket == Bracket::kRound) detached_ = true;
    open_.push_back(bracket);
    return open_.size() <= kMostOpen;
  }

  bool Close(bool round) {
    if (open_.empty() || (open_.back() == Bracket::kRound) != round) return false;
    if (round && words_ == 0) return false;
    open_.pop_back();
    return true;
  }

  bool InText() const {
    return std::find(open_.begin(), open_.end(), Bracket::kText) != open_.end();
  }

  // "\\frac{m}{s}".
  bool Fraction() {
    std::string above;
    std::string below;
    if (!open_.empty() || !Operand(&above) || !Operand(&below)) return false;
    AddUnit(above);
    join_ = '/';
    return AddUnit(below);
  }

  bool Operand(std::string* unit) {
    if (Peek().kind != Kind::kOpen) return false;
    const size_t begin = ++at_;
    for (int depth = 1; depth > 0; ++at_) {
      if (Peek().kind == Kind::kEnd || Peek().kind == Kind::kFraction) return false;
      depth += Peek().kind == Kind::kOpen ? 1 : Peek().kind == Kind::kClose ? -1 : 0;
    }
    std::vector<NumberToken> inside(tokens_.begin() + static_cast<ptrdiff_t>(begin),
                                    tokens_.begin() + static_cast<ptrdiff_t>(at_ - 1));
    inside.push_back({});
    UnitReader reader(inside);
    reader.detached_ = true;
    return reader.Read(unit) && !unit->empty();
  }

  bool NextIsWord() const {
    return Peek().kind == Kind::kWord || Peek().kind == Kind::kText ||
           (Peek().kind == Kind::kBlank &&
            (Peek(1).kind == Kind::kWord || Peek(1).kind == Kind::kText));
  }

  bool Caret() {
    const bool braced = Peek().kind == Kind::kOpen;
    if (braced) ++at_;
    const bool negative = Peek().kind == Kind::kMinus;
    if (negative) ++at_;
    const NumberToken exponent = Peek();
    if (exponent.kind != Kind::kDigits || exponent.text.size() != 1) return false;
    ++at_;
    if (braced && tokens_[at_++].kind != Kind::kClose) return false;
    const int power = exponent.text[0] - '0';
    return Raise(negative ? -power : power);
  }

  // Only 2 and 3, or -1 to -3 ("m s^{-1}" is m/s), and only on a unit that is sure to be one: "5
  // x^2" is algebra.
  bool Raise(int exponent) {
    if (!last_known_ || exponent < -3 || exponent > 3 || exponent == 0 || exponent == 1) {
      return false;
    }
    last_known_ = false;
    if (exponent < 0) {
      if (last_begin_ > 0) unit_.erase(last_begin_ - 1, 1);
      unit_.insert(last_begin_ > 0 ? last_begin_ - 1 : 0, "/");
    }
    if (std::abs(exponent) > 1) unit_ += std::abs(exponent) == 2 ? "^2" : "^3";
    return true;
  }

  bool Word(std::string_view raw) {
    if (raw.size() > kMostWordBytes) return false;
    const std::string word = FoldedUnitWord(raw);
    if (word == "per" || word == "a" || word == "an") {
      if (words_ == 0 && word != "per") return false;
      if (word == "per") join_ = '/';
      detached_ = true;
      return true;
    }
    if (word == "square" || word == "sq" || word == "cubic" || word == "cu") {
      if (!power_.empty()) return false;
      power_ = word[0] == 's' ? "^2" : "^3";
      detached_ = true;
      return true;
    }
    if (IsNeverUnit(word)) return false;
    if (word == "squared" || word == "cubed") return Raise(word[0] == 's' ? 2 : 3);
    std::string_view known = KnownUnit(raw);
    if (known.empty()) known = KnownUnit(word);
    if (!known.empty()) {
      // "5N" looks like algebra; of the capitals only "5L" is usual for a unit.
      const bool capital = word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word != "L";
      if (capital && !detached_) return false;
      const bool added = AddUnit(known);
      last_known_ = added;
      return added;
    }
    if (!CurrencyUnit(word).empty()) return AddUnit(CurrencyUnit(word));
    if (!IsCjk(word)) {
      const size_t letters = Characters(word);
      const bool temperature = in_degrees_ && (word == "C" || word == "F" || word == "K");
      // Letters that touch the number, and single letters, are algebra: 5x, 5ab, 5 n.
      const size_t least = words_ > 0 ? 2 : InText() ? 2 : detached_ ? 3 : 4;
      if (letters < least && !temperature) return false;
    }
    return AddUnit(Singular(FoldedUnitWord(word)));
  }

  bool AddUnit(std::string_view word) {
    if (++words_ > kMostWords) return false;
    if (!unit_.empty() || join_ == '/') unit_ += join_;
    join_ = ' ';
    last_begin_ = unit_.size();
    unit_ += word;
    unit_ += power_;
    power_.clear();
    last_known_ = false;
    detached_ = true;
    return true;
  }

  std::span<const NumberToken> tokens_;
  size_t at_ = 0;
  std::string unit_;
  std::string power_;  // of "square" and "cubic", for the word that follows
  char join_ = ' ';    // what stands between the last word and the next
  int words_ = 0;
  size_t last_begin_ = 0;  // of the last word in unit_
  std::vector<Bracket> open_;
  bool detached_ = false;  // something stands between the number and the next word
  bool last_known_ = false;
  bool in_degrees_ = false;
};

}  // namespace

bool ReadUnit(std::span<const NumberToken> tokens, std::string* unit) {
  unit->clear();
  return UnitReader(tokens).Read(unit);
}

}  // namespace grouper
