// The program that the jail runs first, in place of a submission. It tries to break out and lists
// what it was able to do; an empty list shows that the jail holds.
#pragma once

namespace grouper {

// The source defines probe(), which takes no argument and returns a list of words.
extern const char kProbeProgram[];

}  // namespace grouper
