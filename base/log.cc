#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/hex.h"
#include "base/utf8.h"

namespace grouper {
namespace {

// The one stream of the process. It is made at its first use and never freed, because threads may
// log at exit.
struct Stream {
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> sink =
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  spdlog::logger logger{"grouper", sink};
  std::mutex mutex;
  std::string role = "grouper";

  Stream() {
    logger.set_pattern("%^%v%$");
    logger.flush_on(spdlog::level::trace);
  }
};

Stream& TheStream() {
  static Stream* stream = new Stream;
  return *stream;
}

// C0 and C1 controls but line feed and tab: U+009B alone opens a terminal's control sequence.
bool IsControl(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1)
    return (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
  return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

// Text may quote what a model or a file wrote: control characters never reach the terminal, and
// neither do bytes that are not UTF-8.
void AppendVisible(std::string* out, std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view character = text.substr(0, length > 0 ? length : 1);
    text.remove_prefix(character.size());
    if (length > 0 && !IsControl(character)) {
      out->append(character);
      continue;
    }
    for (const char c : character) {
      out->append("\\x");
      AppendHex(static_cast<unsigned char>(c), out);
    }
  }
}

}  // namespace

void SetLogRole(std::string_view role) {
  Stream& stream = TheStream();
  std::lock_guard lock(stream.mutex);
  stream.role = role;
}

void SetLogLevel(LogLevel level) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn, spdlog::level::err};
  TheStream().logger.set_level(kLevels[static_cast<int>(level)]);
}

void Log(LogLevel level, std::string_view message) {
  Stream& stream = TheStream();
  std::string line = "[";
  {
    std::lock_guard lock(stream.mutex);
    line += stream.role;
  }
  line += "] ";
  if (level == LogLevel::kWarn) line += "warning: ";
  if (level == LogLevel::kError) line += "error: ";
  AppendVisible(&line, message);
  switch (level) {
    case LogLevel::kDebug:
      return stream.logger.log(spdlog::level::debug, spdlog::string_view_t(line));
    case LogLevel::kInfo:
      return stream.logger.log(spdlog::level::info, spdlog::string_view_t(line));
    case LogLevel::kWarn:
      return stream.logger.log(spdlog::level::warn, spdlog::string_view_t(line));
    case LogLevel::kError:
      return stream.logger.log(spdlog::level::err, spdlog::string_view_t(line));
  }
}

}  // namespace grouper
