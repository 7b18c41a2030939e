// Strips the words that introduce an answer ("The final answer is", "Answer:", "So") and the marks
// of the end of text that models write after it. Only fixed phrases are known: no number is ever
// looked for inside a sentence. Pure functions, linear time.
#pragma once

#include <string_view>

namespace grouper {

// Takes one lead-in off the front, in plain text or in \text{}; false when there is none or when
// nothing stands behind it.
bool StripLeadIn(std::string_view* text);

// Takes one mark of the end of text off the back, "</s>" or "<|im_end|>"; false when there is none.
bool StripEndMark(std::string_view* text);

}  // namespace grouper
