#include "reward/answer/answer_span.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace grouper {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::string_view kThinkOpen = "<think>";
constexpr std::string_view kThinkClose = "</think>";
constexpr std::string_view kAnswerOpen = "<answer>";
constexpr std::string_view kAnswerClose = "</answer>";

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

AnswerSpan NotFound(const char* reason) {
  AnswerSpan span;
  span.reason = reason;
  return span;
}

AnswerSpan Found(const char* rung, size_t begin, size_t end) {
  AnswerSpan span;
  span.found = true;
  span.rung = rung;
  span.begin = begin;
  span.end = end;
  return span;
}

// The first byte inside the braces of the \boxed or \fbox at `at`; kNone if there is none.
size_t BoxContent(std::string_view text, size_t at) {
  for (const std::string_view name : {std::string_view("\\boxed"), std::string_view("\\fbox")}) {
    if (text.compare(at, name.size(), name) != 0) continue;
    size_t brace = at + name.size();
    while (brace < text.size() && IsBlank(text[brace])) ++brace;
    return brace < text.size() && text[brace] == '{' ? brace + 1 : kNone;
  }
  return kNone;
}

struct Box {
  size_t begin;
  size_t end;  // kNone: never closed
};

// All boxes in text[from, to), in the order in which they begin. One pass over the bytes keeps a
// stack of open braces. A backslash is skipped together with the next byte, so \{ and \} are text.
std::vector<Box> FindBoxes(std::string_view text, size_t from, size_t to) {
  text = text.substr(0, to);
  std::vector<Box> boxes;
  constexpr uint32_t kPlainBrace = UINT32_MAX;
  std::vector<uint32_t> open;  // index of the box that the brace opens, or kPlainBrace
  for (size_t at = std::min(text.find("\\boxed", from), text.find("\\fbox", from));
       at < text.size();) {
    const char c = text[at];
    if (c == '\\') {
      const size_t content = BoxContent(text, at);
      if (content != kNone) {
        open.push_back(static_cast<uint32_t>(boxes.size()));
        boxes.push_back({content, kNone});
        at = content;
      } else {
        // Doubled backslashes are common in text that was escaped twice.
        at += at + 1 < text.size() && BoxContent(text, at + 1) != kNone ? 1 : 2;
      }
      continue;
    }
    if (c == '{') {
      open.push_back(kPlainBrace);
    } else if (c == '}' && !open.empty()) {
      if (open.back() != kPlainBrace) boxes[open.back()].end = at;
      open.pop_back();
    }
    ++at;
  }
  return boxes;
}

AnswerSpan FromBoxes(std::string_view text, const std::vector<Box>& boxes, const char* rung) {
  if (boxes.empty()) return NotFound("no_answer");
  const Box& last = boxes.back();
  if (last.end == kNone) return NotFound("box_unclosed");
  AnswerSpan span = Found(rung, last.begin, last.end);
  for (size_t i = boxes.size() - 1; i-- > 0;) {
    if (boxes[i].end == kNone) continue;
    const std::string_view inside = text.substr(boxes[i].begin, boxes[i].end - boxes[i].begin);
    // An empty box, as in "I put the answer in \\boxed{}", cannot contradict the answer.
    if (!std::all_of(inside.begin(), inside.end(), IsBlank)) span.other_boxes.push_back(inside);
  }
  return span;
}

AnswerSpan FindTag(std::string_view text, size_t from) {
  const size_t last = FindLast(text.substr(from), kAnswerOpen);
  if (last == kNone) return NotFound("no_answer");
  const size_t begin = from + last + kAnswerOpen.size();
  const size_t end = text.find(kAnswerClose, begin);
  if (end == kNone) return NotFound("tag_unclosed");
  const std::vector<Box> boxes = FindBoxes(text, begin, end);
  if (!boxes.empty()) return FromBoxes(text, boxes, "answer_tag_boxed");
  return Found("answer_tag", begin, end);
}

// Markdown's emphasis that begins before or in a marker and is still open after it.
struct Emphasis {
  char mark = '*';
  size_t count = 0;
};

bool IsEmphasis(char c) { return c == '*' || c == '_'; }
// The signs that Markdown puts before a line: for headings, quotes and items of a list.
bool IsLinePrefix(char c) {
  return IsBlank(c) || IsEmphasis(c) || c == '#' || c == '>' || c == '-';
}

// The index after the marker at the start of `line`, where blanks and Markdown may precede it;
// kNone if there is no marker. Signs that belong to the marker itself are not skipped as Markdown.
size_t BehindMarker(std::string_view line, std::string_view marker, Emphasis* open) {
  size_t at = 0;
  *open = {};
  for (; at < line.size() && IsLinePrefix(line[at]) && line[at] != marker[0]; ++at) {
    if (!IsEmphasis(line[at])) continue;
    if (line[at] != open->mark) *open = {line[at], 0};
    ++open->count;
  }
  for (const char wanted : marker) {
    // "**Answer**:"
    while (at < line.size() && open->count > 0 && line[at] == open->mark && wanted != open->mark) {
      --open->count;
      ++at;
    }
    if (at == line.size() || Lower(line[at]) != Lower(wanted)) return kNone;
    ++at;
  }
  return at;
}

// Removes the closing half of the emphasis that opened before the marker: "**Answer:** 5" and
// "**Answer: 5**".
void DropClosing(std::string_view text, const Emphasis& open, AnswerSpan* span) {
  const std::string half(std::min<size_t>(open.count, 3), open.mark);
  std::string_view answer = text.substr(span->begin, span->end - span->begin);
  while (!answer.empty() && IsBlank(answer.back())) answer.remove_suffix(1);
  if (answer.substr(0, half.size()) == half) {
    span->begin += half.size();
  } else if (answer.size() >= half.size() && answer.substr(answer.size() - half.size()) == half) {
    span->end = span->begin + answer.size() - half.size();
  }
}

AnswerSpan FindLine(std::string_view text, size_t from, std::string_view marker, const char* rung) {
  if (marker.empty()) return NotFound("no_answer");
  for (size_t end = text.size();;) {
    const std::string_view before = text.substr(from, end - from);
    const size_t newline = before.empty() ? kNone : before.rfind('\n');
    const size_t begin = newline == kNone ? from : from + newline + 1;
    Emphasis open;
    const size_t behind = BehindMarker(text.substr(begin, end - begin), marker, &open);
    if (behind != kNone) {
      AnswerSpan span = Found(rung, begin + behind, end);
      if (open.count > 0) DropClosing(text, open, &span);
      return span;
    }
    if (begin == from) return NotFound("no_answer");
    end = begin - 1;
  }
}

// The place where the answer may begin: after the last </think>. kNone if thinking was opened, by
// the completion or by the template, but never closed.
size_t BehindThinking(std::string_view completion, std::string_view prefill, bool think_required) {
  const size_t closed = FindLast(completion, kThinkClose);
  const size_t opened = FindLast(completion, kThinkOpen);
  if (opened != kNone && (closed == kNone || opened > closed)) return kNone;
  if (closed != kNone) return closed + kThinkClose.size();
  const size_t prefill_closed = FindLast(prefill, kThinkClose);
  const size_t prefill_opened = FindLast(prefill, kThinkOpen);
  if (prefill_opened != kNone && (prefill_closed == kNone || prefill_opened > prefill_closed)) {
    return kNone;
  }
  return think_required && prefill_closed == kNone ? kNone : 0;
}

}  // namespace

size_t FindLast(std::string_view text, std::string_view tag) {
  for (size_t end = text.size(); end > 0;) {
    const void* hit = memrchr(text.data(), tag[0], end);
    if (hit == nullptr) return kNone;
    const size_t at = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    if (text.compare(at, tag.size(), tag) == 0) return at;
    end = at;
  }
  return kNone;
}

AnswerSpan FindAnswer(std::string_view completion, std::string_view prefill, const Rubric& rubric) {
  size_t from = BehindThinking(completion, prefill, rubric.think_required());
  if (from == kNone) return NotFound("think_unclosed");
  from = std::max(from, completion.size() - std::min(completion.size(), kAnswerTailBytes));
  AnswerSpan span;
  switch (rubric.extraction()) {
    case Rubric::BOXED:
      span = FromBoxes(completion, FindBoxes(completion, from, completion.size()), "boxed");
      break;
    case Rubric::ANSWER_TAG:
      span = FindTag(completion, from);
      break;
    case Rubric::GSM8K:
      span = FindLine(completion, from, "####", "gsm8k");
      break;
    case Rubric::LINE:
      span = FindLine(completion, from, rubric.marker(), "line");
      break;
    case Rubric::WHOLE:
      span = Found("whole", from, completion.size());
      break;
  }
  if (!span.found) return span;
  while (span.begin < span.end && IsBlank(completion[span.begin])) ++span.begin;
  while (span.end > span.begin && IsBlank(completion[span.end - 1])) --span.end;
  return span.begin < span.end ? span : NotFound("answer_empty");
}

}  // namespace grouper
