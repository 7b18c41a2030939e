// Makes bytes that a model, a data set or a reward service wrote harmless for a terminal. Whatever
// could move the cursor, change colours, reorder text or hide text is shown as an escape. Pure
// functions, for any thread.
//   newline \n, tab \t, return \r, other C0 and DEL \x1B; an invalid UTF-8 byte \xNN (0x80 and up);
//   C1, bidi controls, zero-width and other invisible code points \u202E or \U000E0041
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace grouper {

// A piece of text as it is shown: a plain character, an escape, or a line break.
struct ShownUnit {
  enum class Kind { kPlain, kEscaped, kNewline };
  size_t begin = 0;  // the bytes [begin, end) of the source
  size_t end = 0;
  Kind kind = Kind::kPlain;
  std::string shown;  // printable; "\\n" for kNewline
};

// Reads the unit at byte *at and moves *at past it. Returns false at the end of the text.
bool NextShown(std::string_view bytes, size_t* at, ShownUnit* unit);

// Returns one line; line breaks become \n. At most max_units units are shown, then "...".
std::string EscapeForTerminal(std::string_view bytes, size_t max_units = static_cast<size_t>(-1));

// Returns JSON with the same meaning in which DEL, C1, bidi controls and invisible code points are
// written as \uXXXX, so that it is safe on a terminal too. `json` must be valid JSON in UTF-8.
std::string EscapeJson(std::string_view json);

}  // namespace grouper
