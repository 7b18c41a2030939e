// Lines on stderr for people, with levels: "[reward] message". Libraries log waits and faults,
// never results; kernels never log. Thread-safe. A library of its own, because it needs spdlog.
#pragma once

#include <string>
#include <string_view>

namespace grouper {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// Role ("train", "reward") shown on every line; set once by main.
void SetLogRole(std::string_view role);
void SetLogLevel(LogLevel level);
void Log(LogLevel level, std::string_view message);
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarn(std::string_view message) { Log(LogLevel::kWarn, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

}  // namespace grouper
