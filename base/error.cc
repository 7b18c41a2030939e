#include "base/error.h"

namespace grouper {

int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUser:
      return 2;
    case ErrorKind::kUnavailable:
      return 75;
    case ErrorKind::kInternal:
      return 1;
  }
  return 1;
}

}  // namespace grouper
