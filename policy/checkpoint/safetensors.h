// The safetensors format: u64 header length, a JSON header, then the tensors' bytes. The reader
// refuses bad files before it allocates: sizes, overflow, overlap, gaps, unknown types and
// duplicate names each have a message of their own, which names the file and the tensor. Names are
// 1 to 512 bytes of printable ASCII, shapes have at most 8 extents. Numbers are little-endian as on
// every machine this builds for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace grouper {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // "F32", "F64", "I32", ...
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

struct SafetensorsView {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string_view bytes;  // into the file
};

struct SafetensorsFile {
  std::vector<SafetensorsView> tensors;  // in order of offset
  const SafetensorsView* Find(std::string_view name) const;
};

// Entries in order of name; the header is padded so that the data starts at a multiple of 8.
// kInternal for an entry that the reader would refuse.
std::string WriteSafetensors(std::vector<SafetensorsEntry> entries);

// Views into `file`, which must outlive them; `path` names it in errors (kUser).
SafetensorsFile ReadSafetensors(std::string_view file, const std::string& path);

}  // namespace grouper
