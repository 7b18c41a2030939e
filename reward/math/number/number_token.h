// Splits a short text into the tokens that numbers, units and their LaTeX consist of. It never
// fails: unknown text becomes kOther, which no number contains. Tokens are views of the text or of
// constants. Linear time.
#pragma once

#include <string_view>
#include <vector>

namespace grouper {

struct NumberToken {
  enum class Kind {
    kDigits,  // run of 0-9
    kPoint,   // .
    kComma,   // , {,} ,\!
    kBlank,   // text is " " for one plain or thin blank, "\n" with a line break, else "  "
    kMinus,   // - and its Unicode forms
    kPlus,
    kTimes,        // * \times \cdot and the multiplication sign
    kSlash,        // / \div \over and their Unicode forms
    kCaret,        // ^
    kPercent,      // % \%
    kDegree,       // the degree sign, ^\circ, ^{\circ}, \degree
    kWord,         // run of letters: Latin, Cyrillic, CJK
    kCurrency,     // text is the canonical sign: $ and the signs of euro, pound, yen, rupee, cent
    kOpen,         // {
    kClose,        // }
    kEquals,       // =
    kApprox,       // \approx and its sign
    kFraction,     // \frac and its variants
    kText,         // \text, \mathrm and the like: a { follows
    kSuperscript,  // raised digits; text is their ASCII form in `digits`
    kVulgar,       // one-character fraction; text is "n/d"
    kOverline,     // \overline, \bar, \dot
    kOther,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string_view text;
  int superscript = 0;  // kSuperscript: its value, at most 3 digits
};

// The last token is kEnd.
std::vector<NumberToken> SplitNumberTokens(std::string_view text);

}  // namespace grouper
