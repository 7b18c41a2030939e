// Standard output and error as what they are: files that can be full, and pipes whose reader can
// leave. A program that could not deliver its output has not succeeded.
#pragma once

#include <string_view>

namespace grouper {

// Writes all of the text at once to the descriptor, 1 or 2. kUnavailable when nobody reads the pipe
// any more; DiskFull when there is no room, and then the call may be repeated. SIGPIPE must be
// ignored (StopOnSignals).
void WriteOutput(int descriptor, std::string_view text);

// The last check of a program: flushes stdout, as C and C++ streams hold it, and throws the same
// errors when any of it was lost since the start.
void FlushStdout();

}  // namespace grouper
