// Finds the answer in a completion. Each task names one mode explicitly (Rubric.Extraction in
// proto/rubric.proto); the search goes backwards from the end, through the last 64 kB of the text
// after the last </think>. Linear time, no regular expressions; bytes may be invalid UTF-8. Pure
// and thread-safe. Views in the result point into the completion.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proto/rubric.pb.h"

namespace grouper {

inline constexpr size_t kAnswerTailBytes = 64 * 1024;

struct AnswerSpan {
  bool found = false;
  std::string rung;  // the rule that fired: boxed, answer_tag, answer_tag_boxed, gsm8k, line, whole
  std::string reason;  // when not found: no_answer, think_unclosed, box_unclosed, tag_unclosed,
                       // answer_empty
  size_t begin = 0;    // byte span of the answer in the completion, blanks at its ends left out
  size_t end = 0;
  // Contents of the earlier closed boxes, last first: they must agree with the answer.
  std::vector<std::string_view> other_boxes;
};

AnswerSpan FindAnswer(std::string_view completion, std::string_view prefill, const Rubric& rubric);

// Where the last `tag` begins, npos when there is none. Linear whatever the text.
size_t FindLast(std::string_view text, std::string_view tag);

}  // namespace grouper
