// The program that the jail runs first, in place of a submission. It tries to break out and lists
// what it was able to do; an empty list shows that the jail holds.
#pragma once

namespace grouper {

// The source defines probe(namespaces, limits_threads), which returns a list of words. Both are
// truth values: whether the box has namespaces of its own, and whether the kernel counts its
// threads.
extern const char kProbeProgram[];

}  // namespace grouper
