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

struct Range {
  uint64_t begin, end;
};

// One header member, checked against the size of the data part.
SafetensorsView ReadMember(const Json::Member& member, std::string_view data,
                           const std::string& path, Range* range) {
  const std::string where = path + ": tensor \"" + Excerpt(member.first, 200) + "\"";
  SafetensorsView view;
  view.name = member.first;
  USER_CHECK(IsGoodName(view.name), where + " has a name that is not 1 to 512 printable ASCII");
  USER_CHECK(member.second.IsObject(), where + " is not an object");
  for (const Json::Member& field : member.second.members) {
    USER_CHECK(field.first == "dtype" || field.first == "shape" || field.first == "data_offsets",
               where + " has an unknown field", Named("field", Excerpt(field.first)));
  }
  view.dtype = member.second.String("dtype", where);
  const int64_t unit = BytesOf(view.dtype);
  USER_CHECK(unit > 0, where + " has an unknown dtype", Named("dtype", Excerpt(view.dtype)));
  const Json& shape = member.second.At("shape", where);
  USER_CHECK(shape.IsArray() && shape.items.size() <= kMaxExtents,
             where + " has no shape of at most 8 extents");
  for (const Json& extent : shape.items) {
    USER_CHECK(extent.is_integer && extent.integer >= 0,
               where + " has a shape that is not a list of counts");
    view.shape.push_back(extent.integer);
  }
  uint64_t bytes = 0;
  USER_CHECK(SizeOfShape(unit, view.shape, &bytes), where + " has a shape whose size overflows");
  const Json& offsets = member.second.At("data_offsets", where);
  USER_CHECK(offsets.IsArray() && offsets.items.size() == 2 && offsets.items[0].is_integer &&
                 offsets.items[1].is_integer && offsets.items[0].integer >= 0 &&
                 offsets.items[1].integer >= offsets.items[0].integer,
             where + " has no data_offsets [begin, end]");
  range->begin = static_cast<uint64_t>(offsets.items[0].integer);
  range->end = static_cast<uint64_t>(offsets.items[1].integer);
  USER_CHECK(range->end <= data.size(), where + " ends past the file", Named("end", range->end),
             Named("data_bytes", data.size()));
  USER_CHECK(range->end - range->begin == bytes, where + " has offsets that do not fit its shape",
             Named("offset_bytes", range->end - range->begin), Named("shape_bytes", bytes));
  view.bytes = data.substr(range->begin, bytes);
  return view;
}

}  // namespace

const SafetensorsView* SafetensorsFile::Find(std::string_view name) const {
  for (const SafetensorsView& view : tensors) {
    if (view.name == name) return &view;
  }
  return nullptr;
}

std::string WriteSafetensors(std::vector<SafetensorsEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
  JsonWriter w;
  w.BeginObject();
  uint64_t offset = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const SafetensorsEntry& entry = entries[i];
    CHECK(IsGoodName(entry.name) && (i == 0 || entries[i - 1].name != entry.name),
          "[safetensors] the name cannot be written, or occurs twice",
          Named("tensor", Excerpt(entry.name)));
    CHECK(BytesOf(entry.dtype) > 0, "[safetensors] the dtype is unknown",
          Named("tensor", entry.name), Named("dtype", entry.dtype));
    uint64_t bytes = 0;
    const bool counts = std::all_of(entry.shape.begin(), entry.shape.end(),
                                    [](int64_t extent) { return extent >= 0; });
    CHECK(counts && entry.shape.size() <= kMaxExtents &&
              SizeOfShape(BytesOf(entry.dtype), entry.shape, &bytes) && bytes == entry.bytes.size(),
          "[safetensors] the bytes do not fit the shape", Named("tensor", entry.name),
          Named("bytes", entry.bytes.size()));
    w.Key(entry.name).BeginObject().Key("dtype").Value(entry.dtype).Key("shape").BeginArray();
    for (int64_t extent : entry.shape) w.Value(extent);
    w.EndArray().Key("data_offsets").BeginArray().Value(offset).Value(offset + entry.bytes.size());
    w.EndArray().EndObject();
    offset += entry.bytes.size();
  }
  w.EndObject();
  std::string header = w.text();
  header.resize((header.size() + 7) / 8 * 8, ' ');  // data starts aligned
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), 8);
  file += header;
  file.reserve(file.size() + offset);
  for (const SafetensorsEntry& entry : entries) file.append(entry.bytes.data(), entry.bytes.size());
  return file;
}

SafetensorsFile ReadSafetensors(std::string_view file, const std::string& path) {
  USER_CHECK(file.size() >= 8, path + ": the file is too short for a safetensors header",
             Named("file_bytes", file.size()));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  USER_CHECK(length <= kMaxHeaderBytes && length <= file.size() - 8,
             path + ": the safetensors header is longer than the file or 100 MB",
             Named("header_bytes", length), Named("file_bytes", file.size()));
  // The format requires the brace in the first byte: no blanks, no byte order mark.
  USER_CHECK(length > 0 && file[8] == '{', path + ": the safetensors header does not start with {");
  const Json header =
      ParseJson(file.substr(8, length), path, {.max_bytes = kMaxHeaderBytes, .max_depth = 8});
  const std::string_view data = file.substr(8 + length);
  std::vector<std::pair<Range, SafetensorsView>> found;
  for (const Json::Member& member : header.members) {
    if (member.first == kMetadata) {
      const std::vector<Json::Member>& entries = member.second.members;
      USER_CHECK(member.second.IsObject() &&
                     std::all_of(entries.begin(), entries.end(),
                                 [](const Json::Member& entry) { return entry.second.IsString(); }),
                 path + ": __metadata__ is not an object of texts");
      continue;
    }
    Range range{};
    SafetensorsView view = ReadMember(member, data, path, &range);
    found.emplace_back(range, std::move(view));
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
  });
  SafetensorsFile result;
  uint64_t covered = 0;
  for (auto& [range, view] : found) {
    USER_CHECK(range.begin == covered,
               path + ": tensor \"" + view.name + "\" overlaps another or leaves a gap",
               Named("begin", range.begin), Named("expected_begin", covered));
    covered = range.end;
    result.tensors.push_back(std::move(view));
  }
  USER_CHECK(covered == data.size(), path + ": there are bytes after the last tensor",
             Named("tensors_end", covered), Named("data_bytes", data.size()));
  return result;
}

}  // namespace grouper
