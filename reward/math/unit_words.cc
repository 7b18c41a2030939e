#include "reward/math/unit_words.h"

#include <algorithm>
#include <array>

namespace grouper {
namespace {

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

}  // namespace

std::string FoldedUnitWord(std::string_view word) {
  std::string folded(word);
  if (word.size() > 1) std::transform(folded.begin(), folded.end(), folded.begin(), Lower);
  return folded;
}

std::string_view KnownUnit(std::string_view word) {
  const auto hit = std::find_if(kKnown.begin(), kKnown.end(),
                                [&](const Spelling& known) { return known.word == word; });
  return hit == kKnown.end() ? std::string_view() : hit->unit;
}

bool IsNeverUnit(std::string_view word) {
  if (std::find(kNever.begin(), kNever.end(), word) != kNever.end()) return true;
  if (static_cast<unsigned char>(word[0]) < 0x80) return false;
  return std::any_of(std::begin(kNeverCharacters), std::end(kNeverCharacters),
                     [&](std::string_view c) { return word.find(c) != std::string_view::npos; });
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
  const std::string folded = FoldedUnitWord(word);
  for (const Spelling& currency : kCurrencies) {
    if (currency.word == folded) return currency.unit;
  }
  return {};
}

}  // namespace grouper
