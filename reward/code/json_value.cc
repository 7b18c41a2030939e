#include "reward/code/json_value.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/hex.h"

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

// JSON as a Python literal on one line, ASCII only.
void AppendPython(const Json& json, std::string* out) {
  switch (json.kind) {
    case Json::Kind::kNull:
      *out += "None";
      break;
    case Json::Kind::kBool:
      *out += json.boolean ? "True" : "False";
      break;
    case Json::Kind::kNumber:
      *out += json.text;
      break;
    case Json::Kind::kString: {
      *out += "b'";
      for (char c : json.text) {
        *out += "\\x";
        AppendHex(static_cast<unsigned char>(c), out);
      }
      *out += "'.decode()";
      break;
    }
    case Json::Kind::kArray:
      *out += "[";
      for (const Json& item : json.items) {
        AppendPython(item, out);
        *out += ",";
      }
      *out += "]";
      break;
    case Json::Kind::kObject:
      *out += "{";
      for (const Json::Member& member : json.members) {
        Json key;
        key.kind = Json::Kind::kString;
        key.text = member.first;
        AppendPython(key, out);
        *out += ":";
        AppendPython(member.second, out);
        *out += ",";
      }
      *out += "}";
      break;
  }
}

}  // namespace grouper
