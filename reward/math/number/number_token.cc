#include "reward/math/number/number_token.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "base/utf8.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The letters that words consist of. Greek letters are not among them, because they name quantities
// and not units; nor are full-width forms, which look like ASCII.
bool IsLetter(uint32_t c) {
  if (c < 0x80) return IsAsciiLetter(static_cast<char>(c));
  return (c >= 0xC0 && c <= 0x24F && c != 0xD7 && c != 0xF7) || (c >= 0x400 && c <= 0x4FF) ||
         (c >= 0x2E80 && c <= 0xFAFF && !(c >= 0x3000 && c <= 0x303F));
}

struct Symbol {
  uint32_t code;
  Kind kind;
  std::string_view text;
};

constexpr auto kSymbols = std::to_array<Symbol>({
    {'.', Kind::kPoint, "."},
    {',', Kind::kComma, ","},
    {'-', Kind::kMinus, "-"},
    {'+', Kind::kPlus, "+"},
    {'*', Kind::kTimes, "*"},
    {'/', Kind::kSlash, "/"},
    {'^', Kind::kCaret, "^"},
    {'%', Kind::kPercent, "%"},
    {'{', Kind::kOpen, "{"},
    {'}', Kind::kClose, "}"},
    {'=', Kind::kEquals, "="},
    {'$', Kind::kCurrency, "$"},
    {' ', Kind::kBlank, " "},
    {'\t', Kind::kBlank, " "},
    {'\n', Kind::kBlank, "\n"},
    {'\r', Kind::kBlank, "\n"},
    {'~', Kind::kBlank, " "},
    {0xA0, Kind::kBlank, " "},
    {0x2009, Kind::kBlank, " "},
    {0x200A, Kind::kBlank, " "},
    {0x202F, Kind::kBlank, " "},
    {0x2212, Kind::kMinus, "-"},
    {0x2013, Kind::kMinus, "-"},
    {0xFE63, Kind::kMinus, "-"},
    {0xD7, Kind::kTimes, "*"},
    {0xB7, Kind::kTimes, "*"},
    {0x22C5, Kind::kTimes, "*"},
    {0x2044, Kind::kSlash, "/"},
    {0x2215, Kind::kSlash, "/"},
    {0xB0, Kind::kDegree, "degree"},
    {0x20AC, Kind::kCurrency, "\u20AC"},
    {0xA3, Kind::kCurrency, "\u00A3"},
    {0xA5, Kind::kCurrency, "\u00A5"},
    {0x20B9, Kind::kCurrency, "\u20B9"},
    {0xA2, Kind::kCurrency, "\u00A2"},
    {0xBC, Kind::kVulgar, "1/4"},
    {0xBD, Kind::kVulgar, "1/2"},
    {0xBE, Kind::kVulgar, "3/4"},
    {0x2150, Kind::kVulgar, "1/7"},
    {0x2151, Kind::kVulgar, "1/9"},
    {0x2153, Kind::kVulgar, "1/3"},
    {0x2154, Kind::kVulgar, "2/3"},
    {0x2155, Kind::kVulgar, "1/5"},
    {0x2156, Kind::kVulgar, "2/5"},
    {0x2157, Kind::kVulgar, "3/5"},
    {0x2158, Kind::kVulgar, "4/5"},
    {0x2159, Kind::kVulgar, "1/6"},
    {0x215A, Kind::kVulgar, "5/6"},
    {0x215B, Kind::kVulgar, "1/8"},
    {0x215C, Kind::kVulgar, "3/8"},
    {0x215D, Kind::kVulgar, "5/8"},
    {0x215E, Kind::kVulgar, "7/8"},
    {0x20A4, Kind::kCurrency, "\u00A3"},
    {0x20A9, Kind::kCurrency, "\u20A9"},
    {0x20BD, Kind::kCurrency, "\u20BD"},
    {0x2010, Kind::kMinus, "-"},
    {0x2011, Kind::kMinus, "-"},
    {0xF7, Kind::kSlash, "/"},
    {0x2248, Kind::kApprox, "\u2248"},
    {0x2126, Kind::kWord, "ohm"},
    {0x2003, Kind::kBlank, "  "},
    {0x3000, Kind::kBlank, "  "},
    // A zero-width blank never separates the digits of a group.
    {0x200B, Kind::kBlank, "  "},
    {0x2060, Kind::kBlank, "  "},
    {0xFEFF, Kind::kBlank, "  "},
});

struct Command {
  std::string_view name;  // without the backslash; empty kind text: the command draws nothing
  Kind kind;
  std::string_view text;
};

constexpr auto kCommands = std::to_array<Command>({
    {"frac", Kind::kFraction, "\\frac"},
    {"dfrac", Kind::kFraction, "\\frac"},
    {"tfrac", Kind::kFraction, "\\frac"},
    {"cfrac", Kind::kFraction, "\\frac"},
    {"text", Kind::kText, "\\text"},
    {"textrm", Kind::kText, "\\text"},
    {"textbf", Kind::kText, "\\text"},
    {"textit", Kind::kText, "\\text"},
    {"textsf", Kind::kText, "\\text"},
    {"mathrm", Kind::kText, "\\text"},
    {"mathbf", Kind::kText, "\\text"},
    {"mathit", Kind::kText, "\\text"},
    {"mathsf", Kind::kText, "\\text"},
    {"mbox", Kind::kText, "\\text"},
    {"hbox", Kind::kText, "\\text"},
    {"operatorname", Kind::kText, "\\text"},
    {"unit", Kind::kText, "\\text"},
    {"times", Kind::kTimes, "*"},
    {"cdot", Kind::kTimes, "*"},
    {"ast", Kind::kTimes, "*"},
    {"degree", Kind::kDegree, "degree"},
    {"overline", Kind::kOverline, "\\overline"},
    {"pounds", Kind::kCurrency, "\u00A3"},
    {"euro", Kind::kCurrency, "\u20AC"},
    {"yen", Kind::kCurrency, "\u00A5"},
    {"textdollar", Kind::kCurrency, "$"},
    {"quad", Kind::kBlank, "  "},
    {"qquad", Kind::kBlank, "  "},
    {"thinspace", Kind::kBlank, " "},
    {"left", Kind::kEnd, ""},
    {"right", Kind::kEnd, ""},
    {"displaystyle", Kind::kEnd, ""},
    {"%", Kind::kPercent, "%"},
    {"$", Kind::kCurrency, "$"},
    {",", Kind::kBlank, " "},
    {";", Kind::kBlank, " "},
    {":", Kind::kBlank, " "},
    {">", Kind::kBlank, " "},
    {" ", Kind::kBlank, " "},
    {"!", Kind::kEnd, ""},
    {"-", Kind::kEnd, ""},
    {"sfrac", Kind::kFraction, "\\frac"},
    {"nicefrac", Kind::kFraction, "\\frac"},
    {"si", Kind::kText, "\\text"},
    {"emph", Kind::kText, "\\text"},
    {"div", Kind::kSlash, "/"},
    {"over", Kind::kSlash, "/"},
    {"approx", Kind::kApprox, "\u2248"},
    {"bar", Kind::kOverline, "\\overline"},
    {"dot", Kind::kOverline, "\\overline"},
    {"Omega", Kind::kWord, "ohm"},
    {"rm", Kind::kEnd, ""},
});

// Units with letters of other scripts or points in them; the longer ones first.
constexpr auto kSpelledUnits = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"k\u03A9", "kiloohm"},
     {"k\u2126", "kiloohm"},
     {"k\\Omega", "kiloohm"},
     {"M\u03A9", "megaohm"},
     {"\u03A9", "ohm"},
     {"\u00B5m", "micrometer"},
     {"\u03BCm", "micrometer"},
     {"\u00B5s", "microsecond"},
     {"\u03BCs", "microsecond"},
     {"\u00B5g", "microgram"},
     {"\u03BCg", "microgram"},
     {"a.m.", "am"},
     {"A.M.", "am"},
     {"p.m.", "pm"},
     {"P.M.", "pm"},
     // A full stop at the end of the text has been taken off.
     {"a.m", "am"},
     {"p.m", "pm"},
     {"A.M", "am"},
     {"P.M", "pm"}});

// The value of a raised digit; -1 for the raised minus, -2 for anything else.
int RaisedDigit(uint32_t c) {
  if (c == 0x2070) return 0;
  if (c == 0xB9) return 1;
  if (c == 0xB2) return 2;
  if (c == 0xB3) return 3;
  if (c >= 0x2074 && c <= 0x2079) return static_cast<int>(c - 0x2070);
  return c == 0x207B ? -1 : -2;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { tokens_.reserve(16); }

  std::vector<NumberToken> Run() {
    while (at_ < text_.size()) Next();
    Add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void Add(Kind kind, std::string_view text, int superscript = 0) {
    if (kind == Kind::kBlank && !tokens_.empty() && tokens_.back().kind == Kind::kBlank) {
      const bool line = text == "\n" || tokens_.back().text == "\n";
      tokens_.back().text = line ? "\n" : "  ";
      return;
    }
    tokens_.push_back({kind, text, superscript});
  }
  bool Take(std::string_view literal) {
    if (text_.compare(at_, literal.size(), literal) != 0) return false;
    at_ += literal.size();
    return true;
  }

  void Next() {
    const char c = text_[at_];
    if (IsDigit(c)) {
      const size_t begin = at_;
      while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
      return Add(Kind::kDigits, text_.substr(begin, at_ - begin));
    }
    if (c == '\\') return Backslash();
    if (Take("{,}") || Take(",\\!")) return Add(Kind::kComma, ",");
    if (Take("^\\circ") || Take("^{\\circ}")) return Add(Kind::kDegree, "degree");
    if (Take("**")) return Add(Kind::kCaret, "^");
    if (Take("\u2103")) return Degrees("C");
    if (Take("\u2109")) return Degrees("F");
    for (const auto& [spelling, word] : kSpelledUnits) {
      if (Take(spelling)) return Add(Kind::kWord, word);
    }
    const Utf8Character character = ReadUtf8(text_, at_);
    if (character.bytes == 0) {
      ++at_;
      return Add(Kind::kOther, "?");
    }
    if (IsLetter(character.code)) return Word();
    if (RaisedDigit(character.code) != -2) return Superscript();
    const size_t begin = at_;
    at_ += character.bytes;
    for (const Symbol& symbol : kSymbols) {
      if (symbol.code == character.code) return Add(symbol.kind, symbol.text);
    }
    Add(Kind::kOther, text_.substr(begin, character.bytes));
  }

  void Degrees(std::string_view scale) {
    Add(Kind::kDegree, "degree");
    Add(Kind::kWord, scale);
  }

  void Word() {
    const size_t begin = at_;
    while (at_ < text_.size()) {
      const Utf8Character character = ReadUtf8(text_, at_);
      if (character.bytes == 0 || !IsLetter(character.code)) break;
      at_ += character.bytes;
    }
    Add(Kind::kWord, text_.substr(begin, at_ - begin));
  }

  void Superscript() {
    const size_t begin = at_;
    int value = 0;
    int digits = 0;
    bool negative = false;
    bool good = true;
    while (at_ < text_.size()) {
      const Utf8Character character = ReadUtf8(text_, at_);
      const int digit = character.bytes == 0 ? -2 : RaisedDigit(character.code);
      if (digit == -2) break;
      if (digit == -1) {
        good = good && digits == 0 && !negative;
        negative = true;
      } else if (++digits <= 3) {
        value = value * 10 + digit;
      }
      at_ += character.bytes;
    }
    good = good && digits >= 1 && digits <= 3;
    Add(good ? Kind::kSuperscript : Kind::kOther, text_.substr(begin, at_ - begin),
        negative ? -value : value);
  }

  void Backslash() {
    const size_t begin = at_++;
    size_t end = at_;
    while (end < text_.size() && IsAsciiLetter(text_[end])) ++end;
    if (end == at_ && end < text_.size()) ++end;
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    if (name == "hspace" && at_ < text_.size() && text_[at_] == '{') {
      const size_t close = text_.find('}', at_);
      at_ = close == std::string_view::npos ? text_.size() : close + 1;
      return Add(Kind::kBlank, "  ");
    }
    for (const Command& command : kCommands) {
      if (command.name != name) continue;
      if (command.kind != Kind::kEnd) Add(command.kind, command.text);
      return;
    }
    Add(Kind::kOther, text_.substr(begin, end - begin));
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<NumberToken> tokens_;
};

}  // namespace

std::vector<NumberToken> SplitNumberTokens(std::string_view text) { return Lexer(text).Run(); }

}  // namespace grouper
