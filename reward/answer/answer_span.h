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
  size_t begin = 0;    // byte span of the answer in the completion, without blanks at its ends
  size_t end = 0;
  // The contents of the earlier closed boxes, last first. They must agree with the answer.
  std::vector<std::string_view> other_boxes;
};

AnswerSpan FindAnswer(std::string_view completion, std::string_view prefill, const Rubric& rubric);

// The place where the last `tag` begins; npos if there is none. Takes linear time for any text.
size_t FindLast(std::string_view text, std::string_view tag);

}  // namespace grouper
