// Finds the answer in a completion: one explicit mode per task, searched from the end of what
// follows the last
// </think>, in linear time and without regular expressions (rewards.md 4.1). Bytes may be invalid
// UTF-8.
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
  std::string rung;    // the rule that fired: "boxed", "answer_tag", "gsm8k", "line", "whole"
  std::string reason;  // when not found: "no_answer", "thinking_not_closed", "box_not_closed"
  size_t begin = 0;    // byte span of the answer in the completion
  size_t end = 0;
  // Contents of earlier boxes after </think>: they must agree with the answer.
  std::vector<std::string> other_boxes;
};

AnswerSpan FindAnswer(std::string_view completion, std::string_view prefill, const Rubric& rubric);

}  // namespace grouper
