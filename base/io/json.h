// A small JSON value for the JSON that the programs read (JSONL rows, safetensors headers, result
// files), and a writer (json_writer.cc) for what they print. The parser is nlohmann's SAX reader
// under our limits: strict UTF-8, at most 16 MiB, depth 64, 2^20 values, no duplicate keys, all
// enforced while reading.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace grouper {

class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, Json>;

  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  bool is_integer = false;  // number was written without point or exponent and fits int64
  int64_t integer = 0;
  std::string text;             // kString: the value; kNumber: the literal as written
  std::vector<Json> items;      // kArray
  std::vector<Member> members;  // kObject, in file order

  bool IsObject() const { return kind == Kind::kObject; }
  bool IsArray() const { return kind == Kind::kArray; }
  bool IsString() const { return kind == Kind::kString; }
  bool IsNumber() const { return kind == Kind::kNumber; }
  // Member by name, nullptr when absent or when this is no object.
  const Json* Find(std::string_view name) const;

  // Checked access; `where` ("train.jsonl:12") opens the message. kUser when absent or of another
  // kind.
  const Json& At(std::string_view name, const std::string& where) const;
  const std::string& String(std::string_view name, const std::string& where) const;
  int64_t Integer(std::string_view name, const std::string& where) const;
  double Number(std::string_view name, const std::string& where) const;
};

struct JsonLimits {
  size_t max_bytes = size_t{16} << 20;
  int max_depth = 64;
  size_t max_values = size_t{1} << 20;  // a value takes about 120 bytes of memory
};

// Throws kUser: "where: words" with the byte position.
Json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits = {});

// Appends a quoted JSON string; invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string* out, std::string_view text);
// Shortest decimal that reads back as the same double; null for NaN and infinities.
void AppendJsonNumber(std::string* out, double value);

// Builds one object or nested arrays and objects, in call order.
//   JsonWriter w; w.BeginObject().Key("step").Value(3).EndObject(); puts(w.text())
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view name);
  JsonWriter& Value(std::string_view text);
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(double number);
  JsonWriter& Value(int64_t number);
  JsonWriter& Value(uint64_t number);
  JsonWriter& Value(int number) { return Value(static_cast<int64_t>(number)); }
  JsonWriter& Value(bool flag);
  JsonWriter& Null();
  const std::string& text() const { return out_; }

 private:
  void Separate();
  std::string out_;
  std::vector<bool> first_;
  bool after_key_ = false;
};

}  // namespace grouper
