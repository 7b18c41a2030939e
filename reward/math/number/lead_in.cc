#include "reward/math/number/lead_in.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace grouper {
namespace {

using Words = std::initializer_list<std::string_view>;

// Words after which an answer may follow directly: "So 5". "and" is not one, because it continues a
// list.
const Words kOpeners = {"so",      "thus",         "therefore", "hence",
                        "finally", "consequently", "overall",   "clearly"};
const Words kJoins = {"and", "then"};
const Words kArticles = {"the", "my", "our", "your", "this", "a"};
const Words kAdjectives = {"final", "correct", "numerical", "numeric",   "required", "desired",
                           "exact", "right",   "total",     "resulting", "simplest", "simplified"};
const Words kNouns = {"answer", "result", "solution", "value", "total", "sum", "ans"};
const Words kPronouns = {"it", "this", "that"};
const Words kVerbs = {"is", "equals", "="};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsLetter(char c) { return Lower(c) >= 'a' && Lower(c) <= 'z'; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class LeadIn {
 public:
  explicit LeadIn(std::string_view text) : text_(text) {}

  // The number of bytes of the lead-in at the front; 0 if there is none.
  size_t Read() {
    TakeAny(kJoins);
    const bool joined = at_ > 0;
    const bool opened = TakeAny(kOpeners);
    Take(",");
    const size_t behind = at_;
    const size_t claim = Claim();
    if (claim > 0) return claim;
    return opened && !joined ? behind : 0;
  }

 private:
  // "the final answer is", "answer:", "the value of x is", "it is".
  size_t Claim() {
    const size_t back = at_;
    if (TakeAny(kPronouns) && TakeAny({"is", "equals"})) return Colon();
    at_ = back;
    TakeAny(kArticles);
    // "total" is both: "the total is", "the total value is".
    size_t nouns = 0;
    while (true) {
      if (TakeAny(kNouns)) {
        ++nouns;
      } else if (!TakeAny(kAdjectives)) {
        break;
      }
    }
    if (nouns == 0) return 0;
    if (TakeAny({"of", "for"}) && !Variable()) return 0;
    if (TakeAny(kVerbs)) return Colon();
    return Take(":") ? at_ : 0;
  }

  size_t Colon() {
    if (!Take(":")) Take("=");
    return at_;
  }

  bool Variable() {
    SkipBlanks();
    const bool dollar = Take("$");
    if (at_ >= text_.size() || !IsLetter(text_[at_])) return false;
    if (at_ + 1 < text_.size() && IsLetter(text_[at_ + 1])) return false;
    ++at_;
    return !dollar || Take("$");
  }

  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  }

  bool Take(std::string_view literal) {
    const size_t back = at_;
    SkipBlanks();
    if (text_.compare(at_, literal.size(), literal) == 0) {
      at_ += literal.size();
      return true;
    }
    at_ = back;
    return false;
  }

  bool TakeAny(const Words& words) {
    const size_t back = at_;
    SkipBlanks();
    const size_t begin = at_;
    while (at_ < text_.size() && IsLetter(text_[at_])) ++at_;
    if (at_ == begin && at_ < text_.size() && text_[at_] == '=') ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    const auto same = [&](std::string_view known) {
      return std::equal(word.begin(), word.end(), known.begin(), known.end(),
                        [](char a, char b) { return Lower(a) == b; });
    };
    if (!word.empty() && std::any_of(words.begin(), words.end(), same)) return true;
    at_ = back;
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool Blank(std::string_view text) { return std::all_of(text.begin(), text.end(), IsBlank); }

}  // namespace

bool StripLeadIn(std::string_view* text) {
  for (const std::string_view command : {"\\text{", "\\textbf{", "\\mathrm{", "\\mbox{"}) {
    if (text->substr(0, command.size()) != command) continue;
    const size_t close = text->find('}');
    if (close == std::string_view::npos) return false;
    const std::string_view inside = text->substr(command.size(), close - command.size());
    const std::string_view rest = text->substr(close + 1);
    const size_t led = LeadIn(inside).Read();
    if (led == 0 || !Blank(inside.substr(led)) || Blank(rest)) return false;
    *text = rest;
    return true;
  }
  const size_t led = LeadIn(*text).Read();
  if (led == 0 || Blank(text->substr(led))) return false;
  *text = text->substr(led);
  return true;
}

bool StripEndMark(std::string_view* text) {
  for (const std::string_view mark : {"</s>", "<eos>", "<end_of_turn>"}) {
    if (text->size() > mark.size() && text->substr(text->size() - mark.size()) == mark) {
      text->remove_suffix(mark.size());
      return true;
    }
  }
  // "<|im_end|>" and its kin.
  if (text->size() < 6 || text->substr(text->size() - 2) != "|>") return false;
  size_t at = text->size() - 2;
  while (at > 0 && (IsLetter((*text)[at - 1]) || (*text)[at - 1] == '_')) --at;
  if (at < 3 || text->size() - 2 == at || text->substr(at - 2, 2) != "<|") return false;
  text->remove_suffix(text->size() - (at - 2));
  return true;
}

}  // namespace grouper
