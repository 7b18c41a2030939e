// A safetensors file as one string, for tests of the reader.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "policy/checkpoint/safetensors.h"

namespace grouper::testing {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

// The entries may come in any order.
inline std::string WriteSafetensors(std::vector<SafetensorsEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
  std::vector<SafetensorsTensor> tensors;
  for (const SafetensorsEntry& entry : entries) {
    tensors.push_back({.name = entry.name, .dtype = entry.dtype, .shape = entry.shape});
  }
  std::string file = SafetensorsHeader(&tensors);
  for (const SafetensorsEntry& entry : entries) file.append(entry.bytes.data(), entry.bytes.size());
  return file;
}

}  // namespace grouper::testing
