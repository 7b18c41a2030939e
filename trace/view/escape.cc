#include "trace/view/escape.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "base/utf8.h"

namespace grouper {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};
// Controls, and characters without a visible form: default-ignorable code points, format controls,
// line and paragraph separators, noncharacters of the basic plane.
constexpr Range kHidden[] = {
    {0x7F, 0x9F},     {0xAD, 0xAD},     {0x34F, 0x34F},     {0x61C, 0x61C},     {0x115F, 0x1160},
    {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},
    {0x3164, 0x3164}, {0xFDD0, 0xFDEF}, {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},
    {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

bool IsHidden(uint32_t code) {
  for (const Range& range : kHidden) {
    if (code >= range.first && code <= range.last) return true;
  }
  return code > 0xFFFF && (code & 0xFFFEu) == 0xFFFEu;
}

std::string Format(const char* format, uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string EscapedCode(uint32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\t') return "\\t";
  if (code == '\r') return "\\r";
  if (code <= 0x7F) return Format("\\x%02X", code);
  return Format(code <= 0xFFFF ? "\\u%04X" : "\\U%08X", code);
}

}  // namespace

bool NextShown(std::string_view bytes, size_t* at, ShownUnit* unit) {
  if (*at >= bytes.size()) return false;
  const auto [code, length] = ReadUtf8(bytes, *at);
  unit->begin = *at;
  unit->end = *at + std::max<size_t>(length, 1);
  if (length == 0) {
    unit->kind = ShownUnit::Kind::kEscaped;
    unit->shown = Format("\\x%02X", static_cast<uint8_t>(bytes[*at]));
  } else if (code < 0x20 || IsHidden(code)) {
    unit->kind = code == '\n' ? ShownUnit::Kind::kNewline : ShownUnit::Kind::kEscaped;
    unit->shown = EscapedCode(code);
  } else {
    unit->kind = ShownUnit::Kind::kPlain;
    unit->shown.assign(bytes.substr(*at, length));
  }
  *at = unit->end;
  return true;
}

std::string EscapeForTerminal(std::string_view bytes, size_t max_units) {
  std::string out;
  size_t at = 0;
  size_t units = 0;
  for (ShownUnit unit; NextShown(bytes, &at, &unit); ++units) {
    if (units == max_units) return out + "...";
    out += unit.shown;
  }
  return out;
}

std::string EscapeJson(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t at = 0; at < json.size();) {
    const auto [code, length] = ReadUtf8(json, at);
    if (length == 0) {
      out += "\\uFFFD";
    } else if (!IsHidden(code)) {
      out.append(json.substr(at, length));
    } else if (code <= 0xFFFF) {
      out += Format("\\u%04X", code);
    } else {
      out += Format("\\u%04X", 0xD800 + ((code - 0x10000) >> 10));
      out += Format("\\u%04X", 0xDC00 + ((code - 0x10000) & 0x3FF));
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

}  // namespace grouper
