#include "reward/code/json_value.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
namespace grouper {
namespace {

// The exact digits of a whole number; empty for any other number.
std::string WholeDigits(const Json& json) {
  std::string digits = json.text;
  if (digits.find_first_of(".eE") != std::string::npos) {
    if (!std::isfinite(json.number) || std::trunc(json.number) != json.number) return "";
    char exact[400];
    std::snprintf(exact, sizeof(exact), "%.0f", json.number);
    digits = exact;
  }
  return digits == "-0" ? "0" : digits;
}

// Compares by exact value, as Python does: 1 equals 1.0, 2^53 + 1 does not equal 2.0^53.
bool SameNumber(const Json& a, const Json& b) {
  const std::string whole = WholeDigits(a);
  return whole == WholeDigits(b) && (!whole.empty() || a.number == b.number);
}

}  // namespace

bool SameValue(const Json& a, const Json& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Json::Kind::kNull:
      return true;
    case Json::Kind::kBool:
      return a.boolean == b.boolean;
    case Json::Kind::kNumber:
      return SameNumber(a, b);
    case Json::Kind::kString:
      return a.text == b.text;
    case Json::Kind::kArray:
      return a.items.size() == b.items.size() &&
             std::equal(a.items.begin(), a.items.end(), b.items.begin(), SameValue);
    case Json::Kind::kObject:
      return a.members.size() == b.members.size() &&
             std::all_of(a.members.begin(), a.members.end(), [&](const Json::Member& m) {
               const Json* other = b.Find(m.first);
               return other != nullptr && SameValue(m.second, *other);
             });
  }
  return false;
}

void AppendJson(const Json& json, std::string* out) {
  switch (json.kind) {
    case Json::Kind::kNull:
      *out += "null";
      break;
    case Json::Kind::kBool:
      *out += json.boolean ? "true" : "false";
      break;
    case Json::Kind::kNumber:
      *out += json.text;
      break;
    case Json::Kind::kString:
      AppendJsonString(out, json.text);
      break;
    case Json::Kind::kArray:
      *out += "[";
      for (size_t i = 0; i < json.items.size(); ++i) {
        if (i > 0) *out += ",";
        AppendJson(json.items[i], out);
      }
      *out += "]";
      break;
    case Json::Kind::kObject:
      *out += "{";
      for (size_t i = 0; i < json.members.size(); ++i) {
        if (i > 0) *out += ",";
        AppendJsonString(out, json.members[i].first);
        *out += ":";
        AppendJson(json.members[i].second, out);
      }
      *out += "}";
      break;
  }
}

namespace {

// In ASCII with escapes: a control character takes 6 bytes, a quote or backslash 2, a character of
// two or three bytes 6, one of four bytes 12.
int64_t MostStringBytes(const std::string& text) {
  int64_t bytes = 2;
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      bytes += 6;
    } else if (byte < 0x80) {
      bytes += byte == '"' || byte == '\\' ? 2 : 1;
    } else if (byte >= 0xc0) {
      bytes += byte >= 0xf0 ? 12 : 6;
    }
  }
  return bytes;
}

}  // namespace

int64_t MostResultBytes(const Json& json) {
  constexpr int64_t kFraction = 26;  // the longest text of a double
  switch (json.kind) {
    case Json::Kind::kNull:
    case Json::Kind::kBool:
      return 5;
    case Json::Kind::kNumber: {
      const std::string whole = WholeDigits(json);
      return whole.empty() ? kFraction : static_cast<int64_t>(whole.size()) + 2;  // "1.0" for 1
    }
    case Json::Kind::kString:
      return MostStringBytes(json.text);
    case Json::Kind::kArray:
    case Json::Kind::kObject:
      break;
  }
  int64_t bytes = 2;
  for (const Json& item : json.items) bytes += MostResultBytes(item) + 1;
  for (const Json::Member& member : json.members) {
    bytes += MostStringBytes(member.first) + MostResultBytes(member.second) + 2;
  }
  return bytes;
}

}  // namespace grouper
