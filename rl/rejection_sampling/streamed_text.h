// Prepares a model's text for a terminal while it arrives in pieces. Characters are shown whole,
// control characters and invisible code points as escapes (trace/view/escape), line feeds as line
// breaks. For use by one thread.
#pragma once

#include <string>
#include <string_view>

namespace grouper {

class StreamedText {
 public:
  // Returns what can be printed now. A character that is not complete yet is held back (at most 3
  // bytes).
  std::string Add(std::string_view bytes);
  // Returns the bytes that were held back, as escapes.
  std::string Finish();

 private:
  std::string held_;
};

}  // namespace grouper
