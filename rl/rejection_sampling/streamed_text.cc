#include "rl/rejection_sampling/streamed_text.h"

#include <algorithm>
#include <cstdint>

#include "trace/view/escape.h"

namespace grouper {
namespace {

std::string Shown(std::string_view bytes) {
  std::string out;
  size_t at = 0;
  for (ShownUnit unit; NextShown(bytes, &at, &unit);) {
    out += unit.kind == ShownUnit::Kind::kNewline ? "\n" : unit.shown;
  }
  return out;
}

// The number of bytes at the end that may be the start of a longer character.
size_t OpenTail(std::string_view bytes) {
  for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
    const uint8_t byte = static_cast<uint8_t>(bytes[bytes.size() - back]);
    if ((byte & 0xC0u) == 0x80u) continue;
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string StreamedText::Add(std::string_view bytes) {
  held_.append(bytes);
  const size_t open = OpenTail(held_);
  const std::string whole = held_.substr(0, held_.size() - open);
  held_.erase(0, whole.size());
  return Shown(whole);
}

std::string StreamedText::Finish() {
  const std::string rest = Shown(held_);
  held_.clear();
  return rest;
}

}  // namespace grouper
