// The program that the jail runs first, in place of a submission: it tries to get out and lists
// what it could do. An empty list shows that the walls stand.
#pragma once

namespace grouper {

// Defines probe(), which takes nothing and returns a list of words.
extern const char kProbeProgram[];

}  // namespace grouper
