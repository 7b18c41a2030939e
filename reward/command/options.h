// The options of grouper-reward's subcommands as plain structs, which main.cc fills. Each
// subcommand returns the exit code.
#pragma once

#include <cstdint>
#include <string>

namespace grouper {

// The least tier of isolation in which programs are judged: namespaces or process.
inline constexpr const char kLeastIsolation[] = "process";

struct ScoreOptions {
  std::string file = "-";   // JSONL, "-": standard input
  std::string mode;         // boxed, answer_tag, gsm8k, line, whole; empty: the rubric's
  std::string marker;       // of mode line
  std::string rubric_file;  // textproto of one Rubric
  int threads = 0;          // 0: the cores
  std::string min_isolation = kLeastIsolation;
};
// JSONL rows {id, completion, answer | golds | problem, ...rubric fields} to JSONL results on
// standard output, in order. 0: every line was handled; kUser (exit 2) names file, line and field.
int RunScore(const ScoreOptions& options);

struct ServeOptions {
  std::string listen = "127.0.0.1:0";
  int threads = 0;       // math items judged at a time; 0: the cores
  int code_workers = 0;  // programs judged at a time; 0: the cores
  // What judged programs get at most, whatever a rubric asks for.
  double max_cpu_seconds = 60;
  double max_wall_seconds = 120;
  int64_t max_memory_bytes = int64_t{4} << 30;
  int64_t max_output_bytes = int64_t{64} << 20;
  int max_tests = 10000;                    // of one problem
  int64_t cache_bytes = int64_t{64} << 20;  // of results kept for equal programs
  bool report_port =
      false;  // "host:port" on descriptor 3; end-of-file on descriptor 4 ends the service
  std::string min_isolation = kLeastIsolation;
  bool insecure = false;  // allow an address beyond loopback without TLS
};
int RunServe(const ServeOptions& options);

struct HealthOptions {
  std::string address;  // empty with self_test: no server is asked
  bool self_test = false;
  bool json = false;
};
int RunHealth(const HealthOptions& options);

}  // namespace grouper
