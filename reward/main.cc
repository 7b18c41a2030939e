// grouper-reward: rule-based reward services. Declares subcommands and flags; command/*.cc do the
// work.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "reward/command/options.h"

namespace grouper {
namespace {

int Run(int argc, char** argv) {
  CLI::App app{
      "Scores completions by rules: math answers, Python answers in a jail, format and length."};
  app.set_version_flag("--version", "grouper-reward 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 2 bad input, 75 not serving or port in use, 1 internal.\n"
      "Example: grouper-reward score answers.jsonl --mode boxed");

  ServeOptions serve;
  CLI::App* serve_app = app.add_subcommand("serve", "the gRPC service; drains on SIGTERM");
  serve_app->add_option("--listen", serve.listen, "host:port on loopback; port 0: any free one");
  serve_app
      ->add_option("--threads", serve.threads,
                   "math answers judged at a time; 0 (default): the cores")
      ->check(CLI::Range(0, 1024));
  serve_app
      ->add_option("--code-workers", serve.code_workers,
                   "programs judged at a time; 0 (default): the cores")
      ->check(CLI::Range(0, 1024));
  const CLI::IsMember tier({"process", "namespaces"});
  const char* const tier_help = "least isolation in which programs are judged";
  serve_app->add_option("--min-isolation", serve.min_isolation, tier_help)
      ->check(tier)
      ->capture_default_str();
  serve_app
      ->add_option("--cache-bytes", serve.cache_bytes,
                   "memory for the results of programs that come again (64 MiB)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  serve_app->add_flag("--report-port", serve.report_port,
                      "write host:port to descriptor 3 and end when descriptor 4 is closed");
  serve_app->add_flag("--insecure-i-know", serve.insecure,
                      "allow an address beyond loopback, without TLS");
  serve_app->footer("Example: grouper-reward serve --listen 127.0.0.1:50051");

  ScoreOptions score;
  CLI::App* score_app = app.add_subcommand("score", "JSONL in, JSONL out, no server");
  score_app->add_option("file", score.file,
                        "rows {id, completion, answer | golds | problem, ...}; -: standard input");
  score_app->add_option("--mode", score.mode, "boxed, answer_tag, gsm8k, line or whole");
  score_app->add_option("--marker", score.marker, "what the answer line starts with (mode line)");
  score_app->add_option("--rubric", score.rubric_file, "textproto of a Rubric");
  score_app->add_option("--threads", score.threads, "threads; 0: the cores")
      ->check(CLI::Range(0, 1024));
  score_app->add_option("--min-isolation", score.min_isolation, tier_help)
      ->check(tier)
      ->capture_default_str();
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
      [&] { return grouper::Run(argc, argv); },
      [](const std::string& message) { grouper::LogError(message); },
      [](const std::string& what) { grouper::LogError("[internal] " + what); });
}
