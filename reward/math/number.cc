#include "reward/math/number.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace grouper {
namespace {

constexpr size_t kMostBytes = 4096;      // longer text is no number
constexpr int64_t kMostExponent = 4000;  // |power of ten|: 2^20 bits hold far more, a bomb far less
constexpr size_t kMostUnitBytes = 48;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

void ReplaceAll(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos;
       at = text->find(from, at + to.size())) {
    text->replace(at, from.size(), to);
  }
}

std::string_view TrimView(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return s;
}

// Takes off one pair of delimiters around the whole text, if there is one.
bool StripPair(std::string_view* s, std::string_view open, std::string_view close) {
  if (s->size() < open.size() + close.size() || s->substr(0, open.size()) != open ||
      s->substr(s->size() - close.size()) != close) {
    return false;
  }
  const std::string_view inside = s->substr(open.size(), s->size() - open.size() - close.size());
  if (open == "$" && inside.find('$') != std::string_view::npos) return false;
  *s = TrimView(inside);
  return true;
}

std::string_view StripDelimiters(std::string_view s) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kPairs = {
      {{"$$", "$$"},
       {"$", "$"},
       {"\\(", "\\)"},
       {"\\[", "\\]"},
       {"**", "**"},
       {"`", "`"},
       {"\\displaystyle", ""}}};
  s = TrimView(s);
  for (bool again = true; again;) {
    again = false;
    for (const auto& [open, close] : kPairs) again = StripPair(&s, open, close) || again;
    // A sentence's full stop, but not the point of "5." inside a number that goes on.
    while (!s.empty() && (s.back() == '.' || s.back() == ';')) {
      s = TrimView(s.substr(0, s.size() - 1));
      again = true;
    }
  }
  return s;
}

// One spelling for signs, blanks and LaTeX decoration.
std::string Normalise(std::string_view text) {
  std::string s(StripDelimiters(text));
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 34> kSpellings = {
      {{"\xE2\x88\x92", "-"},
       {"\xE2\x80\x93", "-"},
       {"\xC2\xA0", " "},
       {"\xE2\x80\xAF", " "},
       {"\xE2\x80\x89", " "},
       {"\xC3\x97", "*"},
       {"\\times", "*"},
       {"\\cdot", "*"},
       {"{,}", ","},
       {"\\$", "$"},
       {"\\%", "%"},
       {"\\left", ""},
       {"\\right", ""},
       {"\\dfrac", "\\frac"},
       {"\\tfrac", "\\frac"},
       {"\\cfrac", "\\frac"},
       {"\\!", ""},
       {"\\,", " "},
       {"\\;", " "},
       {"\\:", " "},
       {"\\ ", " "},
       {"~", " "},
       {"\\text", "\\unit"},
       {"\\mathrm", "\\unit"},
       {"\\unitrm", "\\unit"},
       {"\\unitbf", "\\unit"},
       {"\\mathbf", "\\unit"},
       {"\xC2\xB0", "\\degree"},
       {"^\\circ", "\\degree"},
       {"^{\\circ}", "\\degree"},
       {"\xC2\xB2", "^2"},
       {"\xC2\xB3", "^3"},
       {"\\operatorname", "\\unit"},
       {"\t", " "}}};
  for (const auto& [from, to] : kSpellings) ReplaceAll(&s, from, to);
  // \unit{eggs} -> " eggs"
  for (size_t at = s.find("\\unit{"); at != std::string::npos; at = s.find("\\unit{", at)) {
    const size_t close = s.find('}', at);
    if (close == std::string::npos) break;
    s = s.substr(0, at) + " " + s.substr(at + 6, close - at - 6) + s.substr(close + 1);
  }
  return std::string(TrimView(s));
}

class Reader {
 public:
  Reader(std::string text, const Rubric& rubric) : s_(std::move(text)), rubric_(rubric) {}

  ParsedNumber Read() {
    ParsedNumber n;
    DropAssignment();
    bool negative = Sign();
    std::string unit_before = Currency();
    if (!unit_before.empty()) {
      Blanks();
      if (!negative) negative = Sign();
    }
    if (!Magnitude(&n)) return Failed();
    Power(&n);
    Blanks();
    if (Take('%')) {
      n.percent = true;
      n.value /= 100;
      n.last_place -= 2;
      n.integer = false;
    }
    std::string unit_after;
    if (!UnitAfter(&unit_after)) return Failed();
    if (!unit_before.empty() && !unit_after.empty() && rubric_.units() != Rubric::UNITS_IGNORED) {
      unit_before += " ";
    }
    n.unit = unit_before + unit_after;
    if (over_budget_ || at_ != s_.size()) return Failed();
    if (!n.unit.empty() && rubric_.units() == Rubric::UNITS_NONE) return Failed();
    if (negative) n.value = -n.value;
    n.integer = n.integer && n.value.get_den() == 1;
    n.state = ParsedNumber::State::kNumber;
    return n;
  }

 private:
  ParsedNumber Failed() const {
    ParsedNumber n;
    if (over_budget_) n.state = ParsedNumber::State::kOverBudget;
    return n;
  }
  char Peek(size_t ahead = 0) const { return at_ + ahead < s_.size() ? s_[at_ + ahead] : '\0'; }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  bool Take(std::string_view word) {
    if (s_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }
  void Blanks() {
    while (Peek() == ' ' || Peek() == '\n' || Peek() == '\r') ++at_;
  }

  // "x = 5": one variable alone on the left.
  void DropAssignment() {
    const size_t equals = s_.find('=');
    if (equals == std::string::npos || s_.find('=', equals + 1) != std::string::npos) return;
    const std::string_view left = TrimView(std::string_view(s_).substr(0, equals));
    const bool variable = left.size() == 1
                              ? IsAlpha(left[0])
                              : left.size() == 3 && IsAlpha(left[0]) && left[1] == '_' &&
                                    std::isalnum(static_cast<unsigned char>(left[2]));
    if (!variable && !left.empty()) return;
    at_ = equals + 1;
    Blanks();
  }

  bool Sign() {
    const bool negative = Peek() == '-';
    if (negative || Peek() == '+') {
      ++at_;
      Blanks();
    }
    return negative;
  }

  std::string Currency() {
    for (const char* sign : {"US$", "$", "\xE2\x82\xAC", "\xC2\xA3", "\xC2\xA5", "\xE2\x82\xB9"}) {
      if (Take(std::string_view(sign))) return sign == std::string_view("US$") ? "$" : sign;
    }
    for (const char* code : {"USD ", "EUR ", "GBP ", "Rs. ", "Rs "}) {
      if (Take(std::string_view(code))) return code;
    }
    return "";
  }

  // Digits with separators into `digits`; places: digits behind the decimal mark, -1 without one.
  bool Digits(std::string* digits, int64_t* places) {
    const char mark = rubric_.decimal_comma() ? ',' : '.',
               separator = rubric_.decimal_comma() ? '.' : ',';
    *places = -1;
    size_t end = at_;
    while (end < s_.size() &&
           (IsDigit(s_[end]) || s_[end] == ',' || s_[end] == '.' || GroupBlank(end)))
      ++end;
    // A mark that no digit follows belongs to the sentence, not to the number.
    while (end > at_ && !IsDigit(s_[end - 1])) --end;
    const std::string part = s_.substr(at_, end - at_);
    const size_t point = part.find(mark);
    if (point != std::string::npos && part.find(mark, point + 1) != std::string::npos) return false;
    const std::string whole = part.substr(0, point);
    if (!Grouped(whole, separator, digits)) return false;
    if (point != std::string::npos) {
      const std::string fraction = part.substr(point + 1);
      if (fraction.empty() || !std::all_of(fraction.begin(), fraction.end(), IsDigit)) return false;
      *digits += fraction;
      *places = static_cast<int64_t>(fraction.size());
    }
    if (digits->empty()) return false;
    at_ = end;
    return true;
  }

  // A blank between groups of digits: "1 234 567", and not a mixed number "2 2/5".
  bool GroupBlank(size_t at) const {
    if (s_[at] != ' ' || at == at_ || !IsDigit(s_[at - 1])) return false;
    for (size_t i = 1; i <= 3; ++i) {
      if (at + i >= s_.size() || !IsDigit(s_[at + i])) return false;
    }
    const char next = at + 4 < s_.size() ? s_[at + 4] : '\0';
    return !IsDigit(next) && next != '/';
  }

  // Groups of three behind a first group of one to three; one kind of separator throughout.
  static bool Grouped(const std::string& whole, char separator, std::string* digits) {
    const char used = whole.find(separator) != std::string::npos ? separator
                      : whole.find(' ') != std::string::npos     ? ' '
                                                                 : '\0';
    size_t group = 0, groups = 0;
    for (char c : whole) {
      if (IsDigit(c)) {
        digits->push_back(c);
        ++group;
        continue;
      }
      if (c != used || (groups == 0 ? group < 1 || group > 3 : group != 3)) return false;
      ++groups;
      group = 0;
    }
    return groups == 0 || group == 3;
  }

  bool Integer(std::string* digits) {
    while (IsDigit(Peek())) digits->push_back(s_[at_++]);
    return !digits->empty();
  }

  // \frac{a}{b}, \frac ab
  bool LatexFraction(mpq_class* value) {
    if (!Take("\\frac")) return false;
    mpz_class parts[2];
    bool negative = false;
    for (mpz_class& part : parts) {
      Blanks();
      std::string digits;
      if (Take('{')) {
        Blanks();
        if (Take('-')) negative = !negative;
        if (!Integer(&digits)) return false;
        Blanks();
        if (!Take('}')) return false;
      } else if (IsDigit(Peek())) {
        digits.push_back(s_[at_++]);
      } else {
        return false;
      }
      part = mpz_class(digits, 10);
    }
    return Ratio(parts[0], parts[1], negative, value);
  }

  static bool Ratio(const mpz_class& a, const mpz_class& b, bool negative, mpq_class* value) {
    if (b == 0) return false;  // undefined equals nothing
    *value = mpq_class(a, b);
    value->canonicalize();
    if (negative) *value = -*value;
    return true;
  }

  static mpz_class PowerOfTen(int64_t exponent) {
    mpz_class power;
    mpz_ui_pow_ui(power.get_mpz_t(), 10, static_cast<unsigned long>(exponent));
    return power;
  }

  bool Magnitude(ParsedNumber* n) {
    if (Peek() == '\\') return LatexFraction(&n->value);
    std::string digits;
    int64_t places = -1;
    if (!Digits(&digits, &places)) return false;
    n->value = mpq_class(mpz_class(digits, 10));
    if (places >= 0) {
      n->value /= PowerOfTen(places);
      n->decimal = true;
      n->last_place = -places;
      return true;
    }
    n->integer = true;
    return Fraction(n);
  }

  // After an integer: "/ b", " a/b" or "\frac..." of a mixed number.
  bool Fraction(ParsedNumber* n) {
    const size_t back = at_;
    Blanks();
    if (Take('/')) {
      Blanks();
      std::string digits;
      int64_t places = -1;
      if (!Digits(&digits, &places) || places >= 0) {
        at_ = back;  // "/ hour" is a unit
        return true;
      }
      n->integer = false;
      return Ratio(n->value.get_num(), mpz_class(digits, 10), false, &n->value);
    }
    mpq_class part;
    if (Peek() == '\\' && LatexFraction(&part)) {
      n->integer = false;
      n->value += part;
      return part > 0;
    }
    if (at_ > back && IsDigit(Peek())) {
      std::string top, bottom;
      if (Integer(&top) && Take('/') && Integer(&bottom)) {
        n->integer = false;
        if (!Ratio(mpz_class(top, 10), mpz_class(bottom, 10), false, &part)) return false;
        n->value += part;
        return true;
      }
    }
    at_ = back;
    return true;
  }

  void Power(ParsedNumber* n) {
    const size_t back = at_;
    bool negative = false;
    std::string digits;
    if ((Peek() == 'e' || Peek() == 'E') &&
        (IsDigit(Peek(1)) || ((Peek(1) == '-' || Peek(1) == '+') && IsDigit(Peek(2))))) {
      ++at_;
      negative = Sign();
      Integer(&digits);
    } else {
      Blanks();
      if (!(Take('*') || (Peek() == 'x' && at_ > back && Take('x')))) {
        at_ = back;
        return;
      }
      Blanks();
      if (!Take("10^")) {
        at_ = back;
        return;
      }
      const bool braced = Take('{');
      negative = Sign();
      if (!Integer(&digits) || (braced && !Take('}'))) {
        at_ = back;
        return;
      }
    }
    if (digits.size() > 6 || std::stoll(digits) > kMostExponent) {
      over_budget_ = true;
      return;
    }
    const int64_t exponent = std::stoll(digits) * (negative ? -1 : 1);
    if (exponent >= 0) {
      n->value *= PowerOfTen(exponent);
    } else {
      n->value /= PowerOfTen(-exponent);
    }
    n->last_place += exponent;
    if (n->integer && exponent < 0) n->integer = false;
  }

  // Words of letters, with '/', '^2', '^3', '-' or a degree between; no digits, no words that join
  // answers.
  bool UnitAfter(std::string* unit) {
    Blanks();
    if (at_ == s_.size()) return true;
    std::string word;
    const auto flush = [&] {
      static constexpr std::array<std::string_view, 10> kJoining = {
          "or", "and", "to", "not", "if", "but", "then", "vs", "is", "either"};
      const bool fine = std::find(kJoining.begin(), kJoining.end(), word) == kJoining.end();
      if (!word.empty()) *unit += (unit->empty() ? "" : " ") + word;
      word.clear();
      return fine;
    };
    if (s_.size() - at_ > kMostUnitBytes) return false;
    while (at_ < s_.size()) {
      const char c = s_[at_];
      if (IsAlpha(c)) {
        word.push_back(Lower(c));
      } else if (c == '$') {
        word.push_back(c);
      } else if (c == ' ' || c == '.') {
        if (!flush()) return false;
      } else if ((c == '/' || c == '-') && !word.empty()) {
        word.push_back(c);
      } else if (c == '/' && unit->empty()) {
        word.push_back(c);
      } else if (c == '^' && !word.empty() && (Peek(1) == '2' || Peek(1) == '3')) {
        word.push_back(c);
        word.push_back(s_[++at_]);
      } else if (Take("\\degree")) {
        word += "degree";
        continue;
      } else {
        return false;
      }
      ++at_;
    }
    return flush();
  }

  std::string s_;
  const Rubric& rubric_;
  size_t at_ = 0;
  bool over_budget_ = false;
};

}  // namespace

ParsedNumber ParseNumber(std::string_view text, const Rubric& rubric) {
  if (text.size() > kMostBytes) {
    ParsedNumber n;
    n.state = ParsedNumber::State::kOverBudget;
    return n;
  }
  return Reader(Normalise(text), rubric).Read();
}

std::string FoldText(std::string_view text) {
  std::string folded;
  for (char c : StripDelimiters(text)) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (blank && (folded.empty() || folded.back() == ' ')) continue;
    folded.push_back(blank ? ' ' : Lower(c));
  }
  return folded;
}

}  // namespace grouper
