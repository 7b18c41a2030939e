// The safetensors format: u64 header length, a JSON header, then the tensors' bytes. The reader
// refuses bad files before it allocates: sizes, overflow, overlap, gaps, unknown types and
// duplicate names each have a message of their own, which names the file and the tensor. Names are
// 1 to 512 bytes of printable ASCII, shapes have at most 8 extents. Numbers are little-endian as on
// every machine this builds for.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace grouper {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;  // "F32", "F64", "I32", ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // its bytes in the data part, which follows the header
};

// The beginning of a file with these tensors, which are in order of name: the length and the
// header, padded so that the data starts at a multiple of 8. Sets begin and end. kInternal for a
// tensor that the reader would refuse.
std::string SafetensorsHeader(std::vector<SafetensorsTensor>* tensors);

// The length of the header, given the first 8 bytes of a file and the number of bytes after them.
// `path` names the file in errors (kUser), here and below.
uint64_t SafetensorsHeaderBytes(std::string_view first, uint64_t bytes_after,
                                const std::string& path);
// The tensors of a header that is followed by `data_bytes` bytes, in order of offset.
std::vector<SafetensorsTensor> ReadSafetensorsHeader(std::string_view header, uint64_t data_bytes,
                                                     const std::string& path);

struct SafetensorsView {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string_view bytes;  // into the file
};

struct SafetensorsFile {
  std::vector<SafetensorsView> tensors;              // in order of offset
  std::map<std::string, size_t, std::less<>> place;  // of each name in tensors
  const SafetensorsView* Find(std::string_view name) const;
};

// Views into `file`, which must outlive them.
SafetensorsFile ReadSafetensors(std::string_view file, const std::string& path);

}  // namespace grouper
