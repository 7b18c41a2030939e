// The words that lead in an answer, "The final answer is", "Answer:", "So", and what surrounds it
// for other reasons than mathematics: marks of the end of text. Only fixed phrases: no number is
// ever looked for inside a sentence (rewards.md 4.1). Pure functions, linear time.
#pragma once

#include <string_view>

namespace grouper {

// Takes one lead-in off the front, in plain text or in \text{}; false when there is none or when
// nothing stands behind it.
bool StripLeadIn(std::string_view* text);

// Takes one mark of the end of text off the back, "</s>" or "<|im_end|>"; false when there is none.
bool StripEndMark(std::string_view* text);

}  // namespace grouper
