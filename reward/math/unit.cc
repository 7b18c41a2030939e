#include "reward/math/unit.h"

#include <algorithm>
#include <array>

#include "reward/utf8.h"

namespace grouper {
namespace {

using Kind = NumberToken::Kind;
constexpr int kMostWords = 6;
constexpr size_t kMostWordBytes = 32;

struct Spelling {
  std::string_view word;
  std::string_view unit;
};

// Words that are units however they are attached. Lower case but for single letters, whose case
// counts. Sorted by word.
constexpr auto kKnown = std::to_array<Spelling>({
    {"J", "joule"},        {"L", "liter"},        {"N", "newton"},        {"V", "volt"},
    {"W", "watt"},         {"am", "am"},          {"cc", "cm^3"},         {"cent", "cent"},
    {"centimeters", "cm"}, {"centimetre", "cm"},  {"centimetres", "cm"},  {"cents", "cent"},
    {"centimeter", "cm"},  {"cm", "cm"},          {"cu", "cubic"},        {"days", "day"},
    {"deg", "degree"},     {"degrees", "degree"}, {"dm", "dm"},           {"dollars", "dollar"},
    {"eur", "euro"},       {"feet", "foot"},      {"ft", "foot"},         {"g", "gram"},
    {"gal", "gallon"},     {"gb", "gb"},          {"gbp", "pound"},       {"ghz", "ghz"},
    {"gm", "gram"},        {"grams", "gram"},     {"h", "hour"},          {"hours", "hour"},
    {"hr", "hour"},        {"hrs", "hour"},       {"hz", "hertz"},        {"in", "inch"},
    {"inches", "inch"},    {"kb", "kb"},          {"kg", "kg"},           {"kgs", "kg"},
    {"khz", "khz"},        {"kilogram", "kg"},    {"kilograms", "kg"},    {"kilometer", "km"},
    {"kilometers", "km"},  {"kilometre", "km"},   {"kilometres", "km"},   {"km", "km"},
    {"kmh", "km/hour"},    {"kms", "km"},         {"kph", "km/hour"},     {"kw", "kw"},
    {"kwh", "kwh"},        {"l", "liter"},        {"lb", "pound"},        {"lbs", "pound"},
    {"liters", "liter"},   {"litre", "liter"},    {"litres", "liter"},    {"m", "meter"},
    {"mb", "mb"},          {"meters", "meter"},   {"metre", "meter"},     {"metres", "meter"},
    {"mg", "mg"},          {"mhz", "mhz"},        {"mi", "mile"},         {"miles", "mile"},
    {"milliliter", "ml"},  {"milliliters", "ml"}, {"millimeter", "mm"},   {"millimeters", "mm"},
    {"min", "minute"},     {"mins", "minute"},    {"minutes", "minute"},  {"ml", "ml"},
    {"mm", "mm"},          {"mo", "month"},       {"mph", "mile/hour"},   {"ms", "ms"},
    {"oz", "ounce"},       {"pcs", "piece"},      {"pm", "pm"},           {"pt", "pint"},
    {"pts", "point"},      {"qt", "quart"},       {"rad", "radian"},      {"rs", "rupee"},
    {"s", "second"},       {"sec", "second"},     {"seconds", "second"},  {"secs", "second"},
    {"sq", "square"},      {"tb", "tb"},          {"tbsp", "tablespoon"}, {"tsp", "teaspoon"},
    {"usd", "dollar"},     {"wk", "week"},        {"wks", "week"},        {"yd", "yard"},
    {"yds", "yard"},       {"yr", "year"},        {"yrs", "year"},
});

// Words that say something else than a unit.
constexpr auto kNever = std::to_array<std::string_view>({
    "abc",
    "about",
    "above",
    "almost",
    "alternatively",
    "and",
    "and/or",
    "approximately",
    "approx",
    "around",
    "as",
    "at",
    "below",
    "beneath",
    "besides",
    "between",
    "billion",
    "billions",
    "billionth",
    "billionths",
    "bn",
    "both",
    "but",
    "choose",
    "cos",
    "cosine",
    "cot",
    "csc",
    "cube",
    "def",
    "divided",
    "double",
    "doubled",
    "eight",
    "eighteen",
    "eighth",
    "eighths",
    "eighty",
    "either",
    "else",
    "equal",
    "equals",
    "except",
    "exp",
    "exponent",
    "factorial",
    "false",
    "fifteen",
    "fifth",
    "fifths",
    "fifty",
    "five",
    "forty",
    "four",
    "fourteen",
    "fourth",
    "fourths",
    "half",
    "halves",
    "hundred",
    "hundreds",
    "hundredth",
    "hundredths",
    "if",
    "incorrect",
    "inf",
    "infinite",
    "infinity",
    "instead",
    "is",
    "ln",
    "log",
    "max",
    "maybe",
    "million",
    "millions",
    "millionth",
    "millionths",
    "minus",
    "mn",
    "mod",
    "modulo",
    "multiplied",
    "nan",
    "nearly",
    "negative",
    "neither",
    "never",
    "nine",
    "nineteen",
    "ninety",
    "ninth",
    "ninths",
    "no",
    "none",
    "nor",
    "not",
    "null",
    "oder",
    "off",
    "one",
    "oppure",
    "or",
    "otherwise",
    "ou",
    "over",
    "percent",
    "percentage",
    "percents",
    "perhaps",
    "pi",
    "plus",
    "possibly",
    "power",
    "pqr",
    "probably",
    "quadruple",
    "quarter",
    "quarters",
    "rather",
    "remainder",
    "root",
    "roots",
    "roughly",
    "seven",
    "seventeen",
    "seventh",
    "sevenths",
    "seventy",
    "sin",
    "sine",
    "six",
    "sixteen",
    "sixth",
    "sixths",
    "sixty",
    "sqrt",
    "tan",
    "tangent",
    "tau",
    "ten",
    "tenth",
    "tenths",
    "than",
    "then",
    "third",
    "thirds",
    "thirteen",
    "thirty",
    "thousand",
    "thousands",
    "thousandth",
    "thousandths",
    "three",
    "through",
    "times",
    "to",
    "trillion",
    "trillions",
    "trillionth",
    "trillionths",
    "triple",
    "tripled",
    "true",
    "twelfth",
    "twelve",
    "twenty",
    "twice",
    "two",
    "und",
    "undefined",
    "under",
    "unknown",
    "unless",
    "until",
    "up",
    "versus",
    "vs",
    "whereas",
    "within",
    "without",
    "wrong",
    "xyz",
    "zero",
});

// Chinese characters that are numbers, joins or fractions: a word with one of them is no unit.
constexpr std::string_view kNeverCharacters[] = {
    "\u4E00", "\u4E8C", "\u4E09", "\u56DB", "\u4E94", "\u516D",      "\u4E03", "\u516B",
    "\u4E5D", "\u5341", "\u767E", "\u5343", "\u4E07", "\u842C",      "\u4EBF", "\u5104",
    "\u5146", "\u534A", "\u4E24", "\u5169", "\u96F6", "\u6216",      "\u548C", "\u4E0D",
    "\u975E", "\u8D1F", "\u500D", "\u7EA6", "\u6210", "\u5206\u4E4B"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Folded(std::string_view word) {
  std::string folded(word);
  if (word.size() > 1) std::transform(folded.begin(), folded.end(), folded.begin(), Lower);
  return folded;
}

const Spelling* FindKnown(std::string_view word) {
  const auto hit = std::find_if(kKnown.begin(), kKnown.end(),
                                [&](const Spelling& known) { return known.word == word; });
  return hit == kKnown.end() ? nullptr : &*hit;
}

bool IsNever(std::string_view word) {
  if (std::find(kNever.begin(), kNever.end(), word) != kNever.end()) return true;
  if (static_cast<unsigned char>(word[0]) < 0x80) return false;
  return std::any_of(std::begin(kNeverCharacters), std::end(kNeverCharacters),
                     [&](std::string_view c) { return word.find(c) != std::string_view::npos; });
}

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
    if (text_depth_ != 0 || join_ == '/' || !power_.empty()) return false;
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
        ++text_depth_;
        return at_ >= 2 && tokens_[at_ - 2].kind == Kind::kText;
      case Kind::kClose:
        return text_depth_-- > 0;
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

  bool NextIsWord() const {
    return Peek().kind == Kind::kWord || Peek().kind == Kind::kText ||
           (Peek().kind == Kind::kBlank &&
            (Peek(1).kind == Kind::kWord || Peek(1).kind == Kind::kText));
  }

  bool Caret() {
    const bool braced = Peek().kind == Kind::kOpen;
    if (braced) ++at_;
    const NumberToken exponent = Peek();
    if (exponent.kind != Kind::kDigits || exponent.text.size() != 1) return false;
    ++at_;
    if (braced && tokens_[at_++].kind != Kind::kClose) return false;
    return Raise(exponent.text[0] - '0');
  }

  // Only 2 and 3, and only on a unit that is sure to be one: "5 x^2" is algebra.
  bool Raise(int exponent) {
    if (!last_known_ || (exponent != 2 && exponent != 3)) return false;
    last_known_ = false;
    unit_ += exponent == 2 ? "^2" : "^3";
    return true;
  }

  bool Word(std::string_view raw) {
    if (raw.size() > kMostWordBytes) return false;
    const std::string word = Folded(raw);
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
    if (IsNever(word)) return false;
    if (word == "squared" || word == "cubed") return Raise(word[0] == 's' ? 2 : 3);
    if (const Spelling* known = FindKnown(word)) {
      // 5N touches like algebra does; of the capitals only 5L is usual.
      const bool capital = word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word != "L";
      if (capital && !detached_) return false;
      const bool added = AddUnit(known->unit);
      last_known_ = added;
      return added;
    }
    if (!CurrencyUnit(word).empty()) return AddUnit(CurrencyUnit(word));
    if (!IsCjk(word)) {
      const size_t letters = Characters(word);
      const bool temperature = in_degrees_ && (word == "C" || word == "F" || word == "K");
      // Letters that touch the number or stand alone are algebra: 5x, 5ab, 5 n.
      const size_t least = words_ > 0 ? 2 : text_depth_ > 0 ? 2 : detached_ ? 3 : 4;
      if (letters < least && !temperature) return false;
    }
    return AddUnit(Singular(Folded(word)));
  }

  bool AddUnit(std::string_view word) {
    if (++words_ > kMostWords) return false;
    if (!unit_.empty() || join_ == '/') unit_ += join_;
    join_ = ' ';
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
  int text_depth_ = 0;
  bool detached_ = false;  // something stands between the number and the next word
  bool last_known_ = false;
  bool in_degrees_ = false;
};

}  // namespace

bool ReadUnit(std::span<const NumberToken> tokens, std::string* unit) {
  unit->clear();
  return UnitReader(tokens).Read(unit);
}

std::string_view CurrencyUnit(std::string_view word) {
  static constexpr auto kCurrencies = std::to_array<Spelling>({
      {"$", "dollar"},
      {"\u20AC", "euro"},
      {"\u00A3", "pound"},
      {"\u00A5", "yen"},
      {"\u20B9", "rupee"},
      {"\u00A2", "cent"},
      {"usd", "dollar"},
      {"eur", "euro"},
      {"gbp", "pound"},
      {"jpy", "yen"},
      {"inr", "rupee"},
      {"rs", "rupee"},
      {"cad", "cad"},
      {"aud", "aud"},
      {"cny", "yuan"},
      {"rmb", "yuan"},
      {"chf", "franc"},
  });
  const std::string folded = Folded(word);
  for (const Spelling& currency : kCurrencies) {
    if (currency.word == folded) return currency.unit;
  }
  return {};
}

}  // namespace grouper
