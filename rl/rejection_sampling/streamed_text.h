// Text of a model that reaches a terminal piece by piece: characters are shown whole, control
// characters and invisible code points as escapes (trace/view/escape), line feeds as line
// breaks. One thread.
#pragma once

#include <string>
#include <string_view>

namespace grouper {

class StreamedText {
 public:
  // What may be printed now; a character that is not whole yet is held back, 3 bytes at most.
  std::string Add(std::string_view bytes);
  // The held bytes, as escapes.
  std::string Finish();

 private:
  std::string held_;
};

}  // namespace grouper
