#include "base/utf8.h"

#include <cstdio>

namespace grouper {

Utf8Character ReadUtf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < bytes) return {};
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  if (byte(1) < low || byte(1) > high) return {};
  uint32_t code = lead & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  return {code, bytes};
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = ReadUtf8(text, at).bytes;
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

std::string EscapeIllFormed(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = ReadUtf8(text, at).bytes;
    if (bytes > 0) {
      out += text.substr(at, bytes);
      at += bytes;
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof(escape), "\\x%02X", static_cast<unsigned char>(text[at++]));
    out += escape;
  }
  return out;
}

std::string Utf8Excerpt(std::string_view text, size_t max_bytes) {
  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = ReadUtf8(text, at).bytes;
    const std::string_view piece = bytes == 0 ? kReplacement : text.substr(at, bytes);
    if (out.size() + piece.size() > max_bytes) break;
    out += piece;
    at += bytes == 0 ? 1 : bytes;
  }
  return out;
}

}  // namespace grouper
