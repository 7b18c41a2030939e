#include "policy/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/io/json.h"

namespace grouper {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxExtents = 8;
constexpr std::string_view kMetadata = "__metadata__";

bool IsGoodName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name != kMetadata &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

int64_t BytesOf(const std::string& dtype) {
  for (const auto& [name, bytes] : {std::pair{"F64", 8},
                                    {"I64", 8},
                                    {"U64", 8},
                                    {"F32", 4},
                                    {"I32", 4},
                                    {"U32", 4},
                                    {"F16", 2},
                                    {"BF16", 2},
                                    {"I16", 2},
                                    {"U16", 2},
                                    {"I8", 1},
                                    {"U8", 1},
                                    {"BOOL", 1},
                                    {"F8_E4M3", 1},
                                    {"F8_E5M2", 1}}) {
    if (dtype == name) return bytes;
  }
  return 0;
}

// Bytes of a tensor; false when they overflow. A factor of zero must not hide an overflow.
bool SizeOfShape(int64_t unit, const std::vector<int64_t>& shape, uint64_t* bytes) {
  *bytes = static_cast<uint64_t>(unit);
  bool zero = false;
  for (int64_t extent : shape) {
    zero = zero || extent == 0;
    if (extent != 0 && __builtin_mul_overflow(*bytes, static_cast<uint64_t>(extent), bytes)) {
      return false;
    }
  }
  if (zero) *bytes = 0;
  return true;
}

// One header member, checked against the size of the data part.
SafetensorsTensor ReadMember(const Json::Member& member, uint64_t data_bytes,
                             const std::string& path) {
  const std::string where = path + ": tensor \"" + Excerpt(member.first, 200) + "\"";
  SafetensorsTensor tensor;
  tensor.name = member.first;
  USER_CHECK(IsGoodName(tensor.name), where + " has a name that is not 1 to 512 printable ASCII");
  USER_CHECK(member.second.IsObject(), where + " is not an object");
  for (const Json::Member& field : member.second.members) {
    USER_CHECK(field.first == "dtype" || field.first == "shape" || field.first == "data_offsets",
               where + " has an unknown field", Named("field", Excerpt(field.first)));
  }
  tensor.dtype = member.second.String("dtype", where);
  const int64_t unit = BytesOf(tensor.dtype);
  USER_CHECK(unit > 0, where + " has an unknown dtype", Named("dtype", Excerpt(tensor.dtype)));
  const Json& shape = member.second.At("shape", where);
  USER_CHECK(shape.IsArray() && shape.items.size() <= kMaxExtents,
             where + " has no shape of at most 8 extents");
  for (const Json& extent : shape.items) {
    USER_CHECK(extent.is_integer && extent.integer >= 0,
               where + " has a shape that is not a list of counts");
    tensor.shape.push_back(extent.integer);
  }
  uint64_t bytes = 0;
  USER_CHECK(SizeOfShape(unit, tensor.shape, &bytes), where + " has a shape whose size overflows");
  const Json& offsets = member.second.At("data_offsets", where);
  USER_CHECK(offsets.IsArray() && offsets.items.size() == 2 && offsets.items[0].is_integer &&
                 offsets.items[1].is_integer && offsets.items[0].integer >= 0 &&
                 offsets.items[1].integer >= offsets.items[0].integer,
             where + " has no data_offsets [begin, end]");
  tensor.begin = static_cast<uint64_t>(offsets.items[0].integer);
  tensor.end = static_cast<uint64_t>(offsets.items[1].integer);
  USER_CHECK(tensor.end <= data_bytes, where + " ends past the file", Named("end", tensor.end),
             Named("data_bytes", data_bytes));
  USER_CHECK(tensor.end - tensor.begin == bytes, where + " has offsets that do not fit its shape",
             Named("offset_bytes", tensor.end - tensor.begin), Named("shape_bytes", bytes));
  return tensor;
}

}  // namespace

std::string SafetensorsHeader(std::vector<SafetensorsTensor>* tensors) {
  JsonWriter w;
  w.BeginObject();
  uint64_t offset = 0;
  std::string_view before;
  for (SafetensorsTensor& tensor : *tensors) {
    CHECK(IsGoodName(tensor.name) && before < tensor.name,
          "[safetensors] the name cannot be written, or is not in order",
          Named("tensor", Excerpt(tensor.name)));
    before = tensor.name;
    CHECK(BytesOf(tensor.dtype) > 0, "[safetensors] the dtype is unknown",
          Named("tensor", tensor.name), Named("dtype", tensor.dtype));
    uint64_t bytes = 0;
    const bool counts = std::all_of(tensor.shape.begin(), tensor.shape.end(),
                                    [](int64_t extent) { return extent >= 0; });
    CHECK(counts && tensor.shape.size() <= kMaxExtents &&
              SizeOfShape(BytesOf(tensor.dtype), tensor.shape, &bytes),
          "[safetensors] the shape cannot be written", Named("tensor", tensor.name));
    tensor.begin = offset;
    tensor.end = offset += bytes;
    w.Key(tensor.name).BeginObject().Key("dtype").Value(tensor.dtype).Key("shape").BeginArray();
    for (int64_t extent : tensor.shape) w.Value(extent);
    w.EndArray().Key("data_offsets").BeginArray().Value(tensor.begin).Value(tensor.end);
    w.EndArray().EndObject();
  }
  w.EndObject();
  std::string header = w.text();
  header.resize((header.size() + 7) / 8 * 8, ' ');  // data starts aligned
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header;
}

uint64_t SafetensorsHeaderBytes(std::string_view first, uint64_t bytes_after,
                                const std::string& path) {
  uint64_t length = 0;
  std::memcpy(&length, first.data(), sizeof(length));
  USER_CHECK(length <= kMaxHeaderBytes && length <= bytes_after,
             path + ": the safetensors header is longer than the file or 100 MB",
             Named("header_bytes", length), Named("file_bytes", bytes_after + sizeof(length)));
  return length;
}

std::vector<SafetensorsTensor> ReadSafetensorsHeader(std::string_view header, uint64_t data_bytes,
                                                     const std::string& path) {
  // The format requires the brace in the first byte: no blanks, no byte order mark.
  USER_CHECK(header.starts_with('{'), path + ": the safetensors header does not start with {");
  const Json json = ParseJson(header, path, {.max_bytes = kMaxHeaderBytes, .max_depth = 8});
  std::vector<SafetensorsTensor> tensors;
  for (const Json::Member& member : json.members) {
    if (member.first == kMetadata) {
      const std::vector<Json::Member>& entries = member.second.members;
      USER_CHECK(member.second.IsObject() &&
                     std::all_of(entries.begin(), entries.end(),
                                 [](const Json::Member& entry) { return entry.second.IsString(); }),
                 path + ": __metadata__ is not an object of texts");
      continue;
    }
    tensors.push_back(ReadMember(member, data_bytes, path));
  }
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    USER_CHECK(tensor.begin == covered,
               path + ": tensor \"" + tensor.name + "\" overlaps another or leaves a gap",
               Named("begin", tensor.begin), Named("expected_begin", covered));
    covered = tensor.end;
  }
  USER_CHECK(covered == data_bytes, path + ": there are bytes after the last tensor",
             Named("tensors_end", covered), Named("data_bytes", data_bytes));
  return tensors;
}

const SafetensorsView* SafetensorsFile::Find(std::string_view name) const {
  const auto found = place.find(name);
  return found == place.end() ? nullptr : &tensors[found->second];
}

SafetensorsFile ReadSafetensors(std::string_view file, const std::string& path) {
  USER_CHECK(file.size() >= 8, path + ": the file is too short for a safetensors header",
             Named("file_bytes", file.size()));
  const uint64_t length = SafetensorsHeaderBytes(file.substr(0, 8), file.size() - 8, path);
  const std::string_view data = file.substr(8 + length);
  SafetensorsFile result;
  for (SafetensorsTensor& tensor :
       ReadSafetensorsHeader(file.substr(8, length), data.size(), path)) {
    result.place.emplace(tensor.name, result.tensors.size());
    result.tensors.push_back({std::move(tensor.name), std::move(tensor.dtype),
                              std::move(tensor.shape),
                              data.substr(tensor.begin, tensor.end - tensor.begin)});
  }
  return result;
}

}  // namespace grouper
