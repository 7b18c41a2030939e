#include "reward/math/answer_span.h"

#include <algorithm>

namespace grouper {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";
constexpr size_t kMostBoxes = 64;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void TrimSpan(std::string_view text, AnswerSpan* span) {
  while (span->begin < span->end && IsSpace(text[span->begin])) ++span->begin;
  while (span->end > span->begin && IsSpace(text[span->end - 1])) --span->end;
}

// Index behind the brace that closes the one before `at`; npos when it is never closed. \{ and \}
// are text.
size_t ClosingBrace(std::string_view text, size_t at) {
  int depth = 1;
  for (; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '{') {
      ++depth;
    } else if (text[at] == '}' && --depth == 0) {
      return at;
    }
  }
  return std::string_view::npos;
}

// Boxes of text from `from` on. Bounded: at most kMostBoxes openings are looked at, from the end.
void FindBox(std::string_view text, size_t from, AnswerSpan* span) {
  std::vector<size_t> contents;  // first byte of each box, last box first
  for (size_t at = text.size(); at > from && contents.size() < kMostBoxes;) {
    const size_t boxed = text.rfind("\\boxed{", at - 1), framed = text.rfind("\\fbox{", at - 1);
    const auto usable = [&](size_t p) { return p != std::string_view::npos && p >= from; };
    if (!usable(boxed) && !usable(framed)) break;
    const bool is_boxed = usable(boxed) && (!usable(framed) || boxed > framed);
    at = is_boxed ? boxed : framed;
    contents.push_back(at + (is_boxed ? 7 : 6));
    if (at == 0) break;
  }
  if (contents.empty()) {
    span->reason = "no_answer";
    return;
  }
  const size_t end = ClosingBrace(text, contents[0]);
  if (end == std::string_view::npos) {
    span->reason = "box_not_closed";
    return;
  }
  *span = {true, "boxed", "", contents[0], end, {}};
  size_t budget = kAnswerTailBytes;  // all brace matching together stays linear
  for (size_t i = 1; i < contents.size() && budget > 0; ++i) {
    const size_t close =
        ClosingBrace(text.substr(0, std::min(text.size(), contents[i] + budget)), contents[i]);
    if (close == std::string_view::npos) continue;
    budget -= std::min(budget, close - contents[i] + 1);
    // A box around the answer's box holds the same answer.
    if (close >= end) continue;
    span->other_boxes.emplace_back(text.substr(contents[i], close - contents[i]));
  }
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool StartsWithFolded(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (Lower(text[i]) != Lower(prefix[i])) return false;
  }
  return true;
}

// The last line from `from` on that starts, after blanks, with the marker.
void FindLine(std::string_view text, size_t from, std::string_view marker, const char* rung,
              AnswerSpan* span) {
  size_t end = text.size();
  while (true) {
    size_t begin = end;
    while (begin > from && text[begin - 1] != '\n') --begin;
    size_t at = begin;
    while (at < end && (text[at] == ' ' || text[at] == '\t')) ++at;
    if (!marker.empty() && StartsWithFolded(text.substr(at, end - at), marker)) {
      *span = {true, rung, "", at + marker.size(), end, {}};
      return;
    }
    if (begin <= from) break;
    end = begin - 1;
  }
  span->reason = "no_answer";
}

void FindTag(std::string_view text, size_t from, AnswerSpan* span) {
  const size_t close = text.rfind("</answer>");
  const size_t open = close == std::string_view::npos || close < from
                          ? std::string_view::npos
                          : text.rfind("<answer>", close);
  if (open == std::string_view::npos || open < from) {
    span->reason = "no_answer";
    return;
  }
  const size_t begin = open + 8;
  AnswerSpan box;
  FindBox(text.substr(0, close), begin, &box);
  if (box.found) {
    *span = std::move(box);
    span->rung = "answer_tag";
    return;
  }
  *span = {true, "answer_tag", "", begin, close, {}};
}

}  // namespace

AnswerSpan FindAnswer(std::string_view completion, std::string_view prefill, const Rubric& rubric) {
  AnswerSpan span;
  const size_t closed = completion.rfind(kClose);
  const size_t opened = completion.rfind(kOpen);
  const size_t before = prefill.rfind(kOpen);
  const bool by_template =
      before != std::string_view::npos && prefill.find(kClose, before) == std::string_view::npos;
  const bool open_at_end =
      opened != std::string_view::npos && (closed == std::string_view::npos || opened > closed);
  const bool never_closed = closed == std::string_view::npos;
  if (open_at_end || (never_closed && (by_template || rubric.think_required()))) {
    span.reason = "thinking_not_closed";
    return span;
  }
  size_t from = never_closed ? 0 : closed + kClose.size();
  if (completion.size() - from > kAnswerTailBytes) from = completion.size() - kAnswerTailBytes;
  switch (rubric.extraction()) {
    case Rubric::BOXED:
      FindBox(completion, from, &span);
      break;
    case Rubric::ANSWER_TAG:
      FindTag(completion, from, &span);
      break;
    case Rubric::GSM8K:
      FindLine(completion, from, "####", "gsm8k", &span);
      break;
    case Rubric::LINE:
      FindLine(completion, from, rubric.marker(), "line", &span);
      break;
    case Rubric::WHOLE:
      span = {true, "whole", "", from, completion.size(), {}};
      break;
  }
  if (!span.found) return span;
  TrimSpan(completion, &span);
  if (span.begin == span.end) {
    span.found = false;
    span.reason = "empty_answer";
  }
  return span;
}

}  // namespace grouper
