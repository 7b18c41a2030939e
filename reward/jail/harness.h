// The Python program that runs a submission inside the jail. It speaks lines: in, a nonce, limits,
// the source and one argument list at a time; out (descriptor 3), one line an event, each with the
// nonce. Values are written in JSON by exact type; nothing of the submission's (__eq__, __str__, a
// json module) takes part.
#pragma once

namespace grouper {

extern const char kPythonHarness[];

}  // namespace grouper
