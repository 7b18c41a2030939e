#include "base/io/json.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"

namespace grouper {
namespace {

// Input of the reader that counts what was consumed, because SAX callbacks are not told where they
// are.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, size_t* consumed) : at_(at), consumed_(consumed) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*consumed_;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  size_t* consumed_;
};

// Builds the value and enforces the limits. Open containers live on a stack of bounded depth, so
// neither reading nor destruction recurses further than max_depth.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, const size_t* consumed, const JsonLimits& limits)
      : text_(text), consumed_(consumed), limits_(limits) {}

  const std::string& error() const { return error_; }
  size_t error_byte() const { return error_byte_; }
  Json TakeRoot() { return std::move(root_); }

  bool null() override { return Add(Json{}); }
  bool boolean(bool flag) override {
    Json value;
    value.kind = Json::Kind::kBool;
    value.boolean = flag;
    return Add(std::move(value));
  }
  bool number_integer(number_integer_t number) override {
    Json value = Number(static_cast<double>(number));
    value.is_integer = true;
    value.integer = number;
    if (value.text == "-0") value.number = -0.0;
    return Add(std::move(value));
  }
  bool number_unsigned(number_unsigned_t number) override {
    Json value = Number(static_cast<double>(number));
    value.is_integer = number <= static_cast<uint64_t>(INT64_MAX);
    if (value.is_integer) value.integer = static_cast<int64_t>(number);
    return Add(std::move(value));
  }
  bool number_float(number_float_t number, const string_t&) override { return Add(Number(number)); }
  bool string(string_t& text) override {
    Json value;
    value.kind = Json::Kind::kString;
    value.text = std::move(text);
    return Add(std::move(value));
  }
  bool binary(binary_t&) override { return Refuse("binary data is not JSON"); }
  bool start_object(size_t) override { return Open(Json::Kind::kObject); }
  bool start_array(size_t) override { return Open(Json::Kind::kArray); }
  bool end_object() override { return CloseContainer(); }
  bool end_array() override { return CloseContainer(); }
  bool key(string_t& name) override {
    Frame& frame = open_.back();
    if (!frame.names.insert(name).second) {
      return Refuse("the key \"" + Excerpt(name) + "\" occurs twice in one object");
    }
    frame.key = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    error_ = Words(error.what());
    error_byte_ = position;
    return false;
  }

 private:
  struct Frame {
    Json value;
    std::string key;
    std::unordered_set<std::string> names;
  };

  bool Refuse(std::string words) {
    error_ = std::move(words);
    error_byte_ = *consumed_;
    return false;
  }

  // The library's message without its tag and without the text that it quotes, which may be
  // hostile, long or not UTF-8. "[json.exception.parse_error.101] parse error at line 1, column 2:
  // syntax error ...
  // - invalid literal; last read: '...'; expected ..."
  static std::string Words(std::string_view what) {
    const size_t start = what.find("syntax error");
    if (start == std::string_view::npos) {
      return what.find("number overflow") != std::string_view::npos
                 ? "the number is too large for a double"
                 : "this is not valid JSON";
    }
    std::string words(what.substr(start));
    const size_t quoted = words.find("; last read:");
    if (quoted != std::string::npos) words.resize(quoted);
    return words;
  }

  // The literal lies before the reader's position, which is one further when a character ended it.
  Json Number(double number) const {
    const auto is_part = [](char c) {
      return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
    };
    size_t end = *consumed_;
    if (end > 0 && !is_part(text_[end - 1])) --end;
    size_t begin = end;
    while (begin > 0 && is_part(text_[begin - 1])) --begin;
    Json value;
    value.kind = Json::Kind::kNumber;
    value.number = number;
    value.text = text_.substr(begin, end - begin);
    return value;
  }

  bool CountValue() {
    return ++values_ <= limits_.max_values ||
           Refuse("there are more than " + std::to_string(limits_.max_values) + " values");
  }
  bool Open(Json::Kind kind) {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      return Refuse("values are nested deeper than " + std::to_string(limits_.max_depth));
    }
    if (!CountValue()) return false;
    open_.emplace_back().value.kind = kind;
    return true;
  }
  bool CloseContainer() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    Attach(std::move(value));
    return true;
  }
  bool Add(Json value) {
    if (!CountValue()) return false;
    Attach(std::move(value));
    return true;
  }
  void Attach(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().value.kind == Json::Kind::kObject) {
      open_.back().value.members.emplace_back(std::move(open_.back().key), std::move(value));
    } else {
      open_.back().value.items.push_back(std::move(value));
    }
  }

  std::string_view text_;
  const size_t* consumed_;
  JsonLimits limits_;
  std::vector<Frame> open_;
  Json root_;
  size_t values_ = 0;
  std::string error_;
  size_t error_byte_ = 0;
};

const char* KindName(Json::Kind kind) {
  switch (kind) {
    case Json::Kind::kNull:
      return "null";
    case Json::Kind::kBool:
      return "a truth value";
    case Json::Kind::kNumber:
      return "a number";
    case Json::Kind::kString:
      return "a text";
    case Json::Kind::kArray:
      return "an array";
    case Json::Kind::kObject:
      return "an object";
  }
  return "unknown";
}

[[noreturn]] void ThrowKind(const std::string& where, std::string_view name, const char* wanted,
                            const Json& found) {
  const std::string literal =
      found.IsNumber() && found.text.size() <= 40 ? " (" + found.text + ")" : "";
  ThrowUser(where + ": the field \"" + std::string(name) + "\" must be " + wanted + ", but it is " +
            KindName(found.kind) + literal);
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits) {
  USER_CHECK(text.size() <= limits.max_bytes, where + ": JSON of " + std::to_string(text.size()) +
                                                  " bytes is over the limit of " +
                                                  std::to_string(limits.max_bytes));
  // The library takes a zero byte for the end of its input and would not see what follows.
  const size_t zero = text.find('\0');
  USER_CHECK(zero == std::string_view::npos,
             where + ": byte " + std::to_string(zero + 1) + ": JSON cannot hold a zero byte");
  size_t consumed = 0;
  Builder builder(text, &consumed, limits);
  const CountingIterator begin(text.data(), &consumed);
  const CountingIterator end(text.data() + text.size(), &consumed);
  const bool good = nlohmann::json::sax_parse(begin, end, &builder);
  USER_CHECK(good,
             where + ": byte " + std::to_string(builder.error_byte()) + ": " + builder.error());
  return builder.TakeRoot();
}

const Json* Json::Find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const Json& Json::At(std::string_view name, const std::string& where) const {
  const Json* found = Find(name);
  USER_CHECK(found != nullptr, where + ": the field \"" + std::string(name) + "\" is missing");
  return *found;
}

const std::string& Json::String(std::string_view name, const std::string& where) const {
  const Json& found = At(name, where);
  if (!found.IsString()) ThrowKind(where, name, "a text", found);
  return found.text;
}

int64_t Json::Integer(std::string_view name, const std::string& where) const {
  const Json& found = At(name, where);
  if (!found.IsNumber() || !found.is_integer) ThrowKind(where, name, "an integer", found);
  return found.integer;
}

double Json::Number(std::string_view name, const std::string& where) const {
  const Json& found = At(name, where);
  if (!found.IsNumber()) ThrowKind(where, name, "a number", found);
  return found.number;
}

}  // namespace grouper
