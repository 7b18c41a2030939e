// The one exception type of the programs, in three kinds that decide exit codes and gRPC statuses
// (docs/ARCHITECTURE.md, "Errors"). A message is "[where] a sentence that says what is wrong and
// what to do next: name=value name=value".
#pragma once

#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace grouper {

enum class ErrorKind {
  kUser,         // a person can fix it: config, file, request (exit 2)
  kUnavailable,  // try again later (exit 75)
  kInternal,     // a bug of ours or a fault of the machine (exit 1)
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

// 2, 75 or 1.
int ExitCode(ErrorKind kind);

// Text from outside in the form in which a message may show it: printable ASCII unchanged, other
// bytes as \xNN, cut with "..." after max_bytes. So text of a file can never control a terminal.
std::string Excerpt(std::string_view text, size_t max_bytes = 64);

// A value with its name: Named("tokens", 12) reads "tokens=12". A message with more than one value
// names each of them.
template <typename T>
struct Named {
  Named(const char* name_of_value, const T& value_of_name)
      : name(name_of_value), value(value_of_name) {}
  const char* name;
  const T& value;  // lives as long as the expression that makes the message
};

namespace error_detail {
template <typename T>
void Append(std::ostringstream& out, const T& value, bool first) {
  out << (first ? "" : ", ") << value;
}
template <typename T>
void Append(std::ostringstream& out, const Named<T>& named, bool first) {
  out << (first ? "" : " ") << named.name << '=' << named.value;
}
// "words: name=value name=value", "words: value" for one without a name, "words" alone.
template <typename... Values>
std::string Message(const std::string& words, const Values&... values) {
  std::ostringstream out;
  out << words;
  if constexpr (sizeof...(values) > 0) out << ": ";
  [[maybe_unused]] bool first = true;
  ((Append(out, values, first), first = false), ...);
  return out.str();
}
}  // namespace error_detail

template <typename... Values>
[[noreturn]] void ThrowUser(const std::string& words, const Values&... values) {
  throw Error(ErrorKind::kUser, error_detail::Message(words, values...));
}
template <typename... Values>
[[noreturn]] void ThrowUnavailable(const std::string& words, const Values&... values) {
  throw Error(ErrorKind::kUnavailable, error_detail::Message(words, values...));
}
template <typename... Values>
[[noreturn]] void ThrowInternal(const std::string& words, const Values&... values) {
  throw Error(ErrorKind::kInternal, error_detail::Message(words, values...));
}

}  // namespace grouper

// USER_CHECK(rows > 0, "[data] no rows; name another file", path): kUser when the condition fails.
#define USER_CHECK(condition, ...)       \
  do {                                   \
    if (!(condition)) [[unlikely]]       \
      ::grouper::ThrowUser(__VA_ARGS__); \
  } while (false)

// CHECK(a == b, "[matmul] the widths differ", Named("x", a), Named("weight", b)): kInternal when
// the condition fails.
#define CHECK(condition, ...)                \
  do {                                       \
    if (!(condition)) [[unlikely]]           \
      ::grouper::ThrowInternal(__VA_ARGS__); \
  } while (false)
