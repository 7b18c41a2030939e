// The last step of every program: an exception that nobody caught becomes a message on stderr and
// an exit code (docs/ARCHITECTURE.md, "Errors").
#pragma once

#include <exception>
#include <string>

#include "base/error.h"

namespace grouper {

// The result of program(), or the exit code of the exception that leaves it. In that case the
// message is given to report_error(message) for an Error, and to report_bug(what) for any other
// exception.
template <typename Program, typename ReportError, typename ReportBug>
int ExitCodeOf(const Program& program, const ReportError& report_error,
               const ReportBug& report_bug) {
  try {
    return program();
  } catch (const Error& error) {
    report_error(error.message());
    return ExitCode(error.kind());
  } catch (const std::exception& error) {
    report_bug(std::string(error.what()));
    return ExitCode(ErrorKind::kInternal);
  }
}

}  // namespace grouper
