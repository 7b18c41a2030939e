// The Python program that runs a submission inside the jail. Its protocol consists of lines. It
// reads a nonce, limits, the source, and one argument list at a time; it writes one line per event
// to descriptor 3, each with the nonce. Values are written as JSON by their exact type, without
// calling anything of the submission (__eq__, __str__, a json module).
#pragma once

namespace grouper {

extern const char kPythonHarness[];

}  // namespace grouper
