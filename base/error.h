// One exception type for the whole house, in three kinds that decide exit codes and gRPC statuses
// (house.md 9). Messages read "[where] words: values" and say what to do next.
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
  kInternal,     // our bug or the machine's (exit 1)
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

// Text from outside as it may stand in a message: printable ASCII as it is, other bytes as \xNN,
// cut with "..." after max_bytes. What a file holds is never terminal control.
std::string Excerpt(std::string_view text, size_t max_bytes = 64);

namespace error_detail {
inline void Append(std::ostringstream&) {}
template <typename T, typename... Rest>
void Append(std::ostringstream& out, const T& value, const Rest&... rest) {
  out << value;
  if constexpr (sizeof...(rest) > 0) out << ", ";
  Append(out, rest...);
}
// "words: value, value"; "words" alone without values.
template <typename... Values>
std::string Message(const std::string& words, const Values&... values) {
  std::ostringstream out;
  out << words;
  if constexpr (sizeof...(values) > 0) out << ": ";
  Append(out, values...);
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

// CHECK(a == b, "[matmul] widths differ", a, b): kInternal when the condition fails.
#define CHECK(condition, ...)                \
  do {                                       \
    if (!(condition)) [[unlikely]]           \
      ::grouper::ThrowInternal(__VA_ARGS__); \
  } while (false)
