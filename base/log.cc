#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <string>

namespace grouper {
namespace {

// The process's one stream for people; made at first use, never freed (threads may log at exit).
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

// Text may quote what a model or a file wrote: control characters never reach the terminal.
void AppendVisible(std::string* out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      out->append("\\x");
      out->push_back(kDigits[byte >> 4]);
      out->push_back(kDigits[byte & 15]);
    } else {
      out->push_back(c);
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
