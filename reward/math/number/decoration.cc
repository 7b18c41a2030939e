#include <array>
#include <utility>

#include "reward/math/number/lead_in.h"
#include "reward/math/number/number.h"

namespace grouper {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr int kMostLayers = 32;

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

std::string_view Trim(std::string_view s) {
  while (!s.empty() && IsBlank(s.front())) s.remove_prefix(1);
  while (!s.empty() && IsBlank(s.back())) s.remove_suffix(1);
  return s;
}

// The index of the bracket that closes the one at `at`; a backslash is skipped with the next byte.
size_t Closing(std::string_view s, size_t at, char open, char close) {
  int depth = 0;
  for (; at < s.size(); ++at) {
    if (s[at] == '\\') {
      ++at;
    } else if (s[at] == open) {
      ++depth;
    } else if (s[at] == close && --depth == 0) {
      return at;
    }
  }
  return kNone;
}

// The next `mark` at or after `at` that does not follow a backslash.
size_t FindPlain(std::string_view s, std::string_view mark, size_t at) {
  for (; at + mark.size() <= s.size(); ++at) {
    if (s.compare(at, mark.size(), mark) == 0) return at;
    if (s[at] == '\\') ++at;
  }
  return kNone;
}

// If s is `prefix` followed by "{...}", closed by its last byte: the text inside.
bool StripBraces(std::string_view* s, std::string_view prefix) {
  if (s->substr(0, prefix.size()) != prefix) return false;
  const std::string_view rest = Trim(s->substr(prefix.size()));
  if (rest.empty() || rest[0] != '{' || Closing(rest, 0, '{', '}') != rest.size() - 1) return false;
  *s = rest.substr(1, rest.size() - 2);
  return true;
}

// A comma inside makes a point or an interval, not 1,234.
bool StripParentheses(std::string_view* s) {
  constexpr std::string_view kLeft = "\\left(";
  constexpr std::string_view kRight = "\\right)";
  std::string_view inside;
  if (s->size() > kLeft.size() + kRight.size() && s->substr(0, kLeft.size()) == kLeft &&
      s->substr(s->size() - kRight.size()) == kRight) {
    inside = s->substr(kLeft.size(), s->size() - kLeft.size() - kRight.size());
    if (inside.find("\\left") != kNone) return false;
  } else if (s->size() >= 2 && s->front() == '(' && Closing(*s, 0, '(', ')') == s->size() - 1) {
    inside = s->substr(1, s->size() - 2);
  } else {
    return false;
  }
  if (inside.find(',') != kNone) return false;
  *s = inside;
  return true;
}

using Pair = std::pair<std::string_view, std::string_view>;
// Longer marks first: *** is not three times *.
constexpr auto kPairs = std::to_array<Pair>({{"$$", "$$"},
                                             {"$", "$"},
                                             {"\\(", "\\)"},
                                             {"\\[", "\\]"},
                                             {"***", "***"},
                                             {"**", "**"},
                                             {"*", "*"},
                                             {"__", "__"},
                                             {"_", "_"},
                                             {"```", "```"},
                                             {"`", "`"},
                                             {"<b>", "</b>"},
                                             {"<strong>", "</strong>"},
                                             {"\u201C", "\u201D"},
                                             {"\u2018", "\u2019"},
                                             {"'", "'"}});

// "$5$" gives "5"; "$5$ apples" gives "5  apples" (two blanks: they group no digits).
bool StripPair(std::string* s, const Pair& pair) {
  const auto& [open, close] = pair;
  if (s->compare(0, open.size(), open) != 0) return false;
  const size_t end = FindPlain(*s, close, open.size());
  if (end == kNone || end == open.size()) return false;
  if (FindPlain(*s, open, end + close.size()) != kNone) return false;
  std::string inside = s->substr(open.size(), end - open.size());
  const std::string rest = s->substr(end + close.size());
  if (!rest.empty()) inside += "  " + rest;
  *s = std::move(inside);
  return true;
}

bool StripQuotes(std::string_view* s) {
  if (s->size() < 3 || s->front() != '"' || s->back() != '"') return false;
  if (s->find('"', 1) != s->size() - 1) return false;
  *s = s->substr(1, s->size() - 2);
  return true;
}

// Commands that switch on a style for the text after them.
bool StripSwitch(std::string_view* s) {
  for (const std::string_view name :
       {"\\displaystyle", "\\textstyle", "\\bfseries", "\\bf", "\\rm", "\\it", "\\small",
        "\\normalsize", "\\large", "\\Large", "\\LARGE", "\\huge", "\\Huge"}) {
    if (s->substr(0, name.size()) != name || s->size() == name.size()) continue;
    const char next = (*s)[name.size()];
    if ((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z')) continue;
    s->remove_prefix(name.size());
    return true;
  }
  return false;
}

// "\color{red}" and "\textcolor{red}" before what they colour.
bool StripColor(std::string_view* s) {
  for (const std::string_view name : {"\\color{", "\\textcolor{"}) {
    if (s->substr(0, name.size()) != name) continue;
    const size_t close = s->find('}');
    if (close == kNone || close + 1 == s->size()) return false;
    s->remove_prefix(close + 1);
    return true;
  }
  return false;
}

// Removes one layer of decoration around the whole view; false if there is none.
bool StripLayer(std::string_view* s) {
  for (const std::string_view command :
       {"",         "\\boxed",  "\\fbox",   "\\text",       "\\textbf",     "\\textit",
        "\\textrm", "\\textsf", "\\texttt", "\\emph",       "\\underline",  "\\mathrm",
        "\\mathbf", "\\mathit", "\\mathsf", "\\mathnormal", "\\boldsymbol", "\\bm",
        "\\bold",   "\\mbox",   "\\hbox",   "\\ensuremath"}) {
    if (StripBraces(s, command)) return true;
  }
  if (StripSwitch(s) || StripColor(s)) return true;
  if (StripParentheses(s) || StripQuotes(s)) return true;
  if (StripLeadIn(s) || StripEndMark(s)) return true;
  // A line break of LaTeX at the end.
  if (s->size() > 2 && s->substr(s->size() - 2) == "\\\\") {
    s->remove_suffix(2);
    return true;
  }
  // The full stop of a sentence; not the dots of "5...".
  if (s->size() >= 2 && s->back() == '.' && (*s)[s->size() - 2] != '.') {
    s->remove_suffix(1);
    return true;
  }
  return false;
}

}  // namespace

std::string StripDecoration(std::string_view text) {
  std::string s(Trim(text));
  for (int layer = 0; layer < kMostLayers; ++layer) {
    bool changed = false;
    for (const Pair& pair : kPairs) {
      if (StripPair(&s, pair)) {
        changed = true;
        break;
      }
    }
    if (!changed) {
      std::string_view view = s;
      changed = StripLayer(&view);
      if (!changed) break;
      s = std::string(view);
    }
    s = std::string(Trim(s));
  }
  return s;
}

}  // namespace grouper
