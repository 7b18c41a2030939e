// Strips the words that introduce an answer ("The final answer is", "Answer:", "So") and the marks
// of the end of text that models write after it. Only fixed phrases are known: no number is ever
// looked for inside a sentence. Pure functions, linear time.
#pragma once

#include <string_view>

namespace grouper {

// Removes one lead-in from the front, in plain text or in \text{}. False if there is none, or if
// nothing follows it.
bool StripLeadIn(std::string_view* text);

// Removes one mark of the end of text from the back, "</s>" or "<|im_end|>". False if there is
// none.
bool StripEndMark(std::string_view* text);

}  // namespace grouper
