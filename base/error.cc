#include "base/error.h"

#include "base/hex.h"

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

std::string Excerpt(std::string_view text, size_t max_bytes) {
  std::string shown;
  for (const char c : text.substr(0, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      shown.push_back(c);
    } else {
      shown.append("\\x");
      AppendHex(byte, &shown);
    }
  }
  if (text.size() > max_bytes) shown.append("...");
  return shown;
}

}  // namespace grouper
