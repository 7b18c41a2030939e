#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/hex.h"
#include "base/io/json.h"
#include "base/utf8.h"

namespace grouper {

void AppendJsonString(std::string* out, std::string_view text) {
  out->push_back('"');
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const char c = text.front();
    if (length == 0) {
      out->append("\xEF\xBF\xBD");
    } else if (length > 1) {
      out->append(text.substr(0, length));
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out->append("\\u00");
      AppendHex(static_cast<unsigned char>(c), out);
    } else {
      out->push_back(c);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  out->push_back('"');
}

void AppendJsonNumber(std::string* out, double value) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  char digits[32];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), value);
  out->append(digits, end.ptr);
}

void JsonWriter::Separate() {
  if (after_key_) {
    after_key_ = false;
  } else if (!first_.empty()) {
    if (!first_.back()) out_.push_back(',');
    first_.back() = false;
  }
}

JsonWriter& JsonWriter::BeginObject() {
  Separate();
  out_.push_back('{');
  first_.push_back(true);
  return *this;
}

JsonWriter& JsonWriter::EndObject() {
  CHECK(!first_.empty() && !after_key_, "[json] there is no open object to end");
  first_.pop_back();
  out_.push_back('}');
  return *this;
}

JsonWriter& JsonWriter::BeginArray() {
  Separate();
  out_.push_back('[');
  first_.push_back(true);
  return *this;
}

JsonWriter& JsonWriter::EndArray() {
  CHECK(!first_.empty() && !after_key_, "[json] there is no open array to end");
  first_.pop_back();
  out_.push_back(']');
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view name) {
  CHECK(!after_key_, "[json] a key must be followed by a value", Named("key", name));
  Separate();
  AppendJsonString(&out_, name);
  out_.push_back(':');
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::Value(std::string_view text) {
  Separate();
  AppendJsonString(&out_, text);
  return *this;
}

JsonWriter& JsonWriter::Value(double number) {
  Separate();
  AppendJsonNumber(&out_, number);
  return *this;
}

JsonWriter& JsonWriter::Value(int64_t number) {
  Separate();
  out_.append(std::to_string(number));
  return *this;
}

JsonWriter& JsonWriter::Value(uint64_t number) {
  Separate();
  out_.append(std::to_string(number));
  return *this;
}

JsonWriter& JsonWriter::Value(bool flag) {
  Separate();
  out_.append(flag ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::Null() {
  Separate();
  out_.append("null");
  return *this;
}

}  // namespace grouper
