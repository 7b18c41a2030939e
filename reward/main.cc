// grouper-reward: rule-based reward services. Declares subcommands and flags; command/*.cc do the
// work.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/exit_code.h"
#include "base/io/output.h"
#include "base/log.h"
#include "reward/code/code_caps.h"
#include "reward/command/options.h"

namespace grouper {
namespace {

void AddMinIsolation(CLI::App* command, std::string* tier) {
  command->add_option("--min-isolation", *tier, "least isolation in which programs are judged")
      ->check(CLI::IsMember({"process", "namespaces"}))
      ->capture_default_str();
}

void AddServe(CLI::App* app, ServeOptions* serve) {
  constexpr int64_t kMostBytes = int64_t{1} << 40;
  constexpr double kMostSeconds = 3600;
  CLI::App* command = app->add_subcommand("serve", "the gRPC service; drains on SIGTERM");
  command->add_option("--listen", serve->listen, "host:port on loopback; port 0: any free one");
  command
      ->add_option("--threads", serve->threads,
                   "math answers judged at a time; 0: as many as cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      ->add_option("--code-workers", serve->code_workers,
                   "programs judged at a time; 0: as many as cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      ->add_option("--cache-bytes", serve->cache_bytes,
                   "memory for the results of programs that come again")
      ->check(CLI::Range(int64_t{0}, kMostBytes))
      ->capture_default_str();
  AddMinIsolation(command, &serve->min_isolation);
  const char* caps = "Caps: a rubric that asks for more gets this much, and the result says so";
  command->add_option("--max-cpu-seconds", serve->max_cpu_seconds, "CPU time of one judged program")
      ->check(CLI::Range(1.0, kMostSeconds))
      ->capture_default_str()
      ->group(caps);
  command
      ->add_option("--max-wall-seconds", serve->max_wall_seconds, "wall time of one judged program")
      ->check(CLI::Range(1.0, kMostSeconds))
      ->capture_default_str()
      ->group(caps);
  command->add_option("--max-memory-bytes", serve->max_memory_bytes, "memory of one judged program")
      ->check(CLI::Range(int64_t{1} << 20, kMostBytes))
      ->capture_default_str()
      ->group(caps);
  command
      ->add_option("--max-output-bytes", serve->max_output_bytes,
                   "all results of one judged program together")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str()
      ->group(caps);
  command
      ->add_option("--max-tests", serve->max_tests,
                   "tests of one problem; one with more is UNSCORABLE")
      ->check(CLI::Range(1, kMostTests))
      ->capture_default_str()
      ->group(caps);
  command->add_flag("--report-port", serve->report_port,
                    "write host:port to descriptor 3 and end when descriptor 4 is closed");
  command->add_flag("--insecure-i-know", serve->insecure,
                    "allow an address beyond loopback, without TLS");
  command->footer(
      "Example: grouper-reward serve --listen 127.0.0.1:50051 --code-workers 8 --max-cpu-seconds "
      "10");
}

int Run(int argc, char** argv) {
  CLI::App app{
      "Scores completions by rules: math answers, Python answers in a jail, format and length."};
  app.set_version_flag("--version", "grouper-reward 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 2 bad input, 75 not serving or port in use, 1 internal.\n"
      "Example: grouper-reward score answers.jsonl --mode boxed");

  ServeOptions serve;
  AddServe(&app, &serve);
  CLI::App* serve_app = app.get_subcommand("serve");

  ScoreOptions score;
  CLI::App* score_app = app.add_subcommand("score", "JSONL in, JSONL out, no server");
  score_app->add_option("file", score.file,
                        "rows {id, completion, answer | golds | problem, ...}; -: standard input");
  score_app->add_option("--mode", score.mode, "boxed, answer_tag, gsm8k, line or whole");
  score_app->add_option("--marker", score.marker, "what the answer line starts with (mode line)");
  score_app->add_option("--rubric", score.rubric_file, "textproto of a Rubric");
  score_app->add_option("--threads", score.threads, "threads; 0: the cores")
      ->check(CLI::Range(0, 1024));
  AddMinIsolation(score_app, &score.min_isolation);
  bool json = false;
  score_app->add_flag("--json", json, "accepted for uniformity: the output is JSONL anyway");
  score_app->footer("Example: grouper-reward score answers.jsonl --mode line --marker 'A:'");

  HealthOptions health;
  CLI::App* health_app =
      app.add_subcommand("health", "state of a service; exit 0 only when SERVING");
  health_app->add_option("address", health.address, "host:port");
  health_app->add_flag("--self-test", health.self_test, "probe the jail on this machine");
  health_app->add_flag("--json", health.json, "JSON on stdout");
  health_app->footer("Example: grouper-reward health 127.0.0.1:50051 --json");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  SetLogRole("reward");
  if (serve_app->parsed()) return RunServe(serve);
  if (score_app->parsed()) return RunScore(score);
  return RunHealth(health);
}

}  // namespace
}  // namespace grouper

int main(int argc, char** argv) {
  return grouper::ExitCodeOf(
      [&] {
        const int code = grouper::Run(argc, argv);
        grouper::FlushStdout();
        return code;
      },
      [](const std::string& message) { grouper::LogError(message); },
      [](const std::string& what) { grouper::LogError("[internal] " + what); });
}
