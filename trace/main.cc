// grouper-trace: inspect the reasoning traces of a run. Declares the command line; command/ does
// the work.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "base/error.h"
#include "base/exit_code.h"
#include "base/io/output.h"
#include "trace/command/command.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

// NO_COLOR (no-color.org) counts when it is set and not empty.
bool TerminalWantsColor() {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

CLI::App* Subcommand(CLI::App* app, const std::string& name, const std::string& words,
                     const std::string& example, std::string* run, bool* json) {
  CLI::App* sub = app->add_subcommand(name, words);
  sub->footer("Example:\n  " + example);
  sub->add_option("RUN", *run, "run folder, its traces folder, or one segment")->required();
  sub->add_flag("--json", *json, "JSON on stdout, nothing else there");
  return sub;
}

int Main(int argc, char** argv) {
  CLI::App app("grouper-trace: inspect reasoning traces", "grouper-trace");
  app.set_version_flag("--version", "grouper-trace " GROUPER_VERSION);
  app.footer(
      "Exit codes: 0 ok, 2 a person can fix it, 1 internal.\n"
      "Example:\n  grouper-trace show runs/quickstart/rl --step 10 --group 2");
  app.require_subcommand(0, 1);  // none is told apart from an unknown one below
  std::function<void()> run;

  LsOptions ls;
  CLI::App* sub = Subcommand(&app, "ls", "a table of groups",
                             "grouper-trace ls runs/quickstart/rl --step 10", &ls.run, &ls.json);
  sub->add_option("--step", ls.step, "groups of this step only")->check(CLI::NonNegativeNumber);
  sub->callback([&] { run = [&] { RunLs(ls, std::cout, std::cerr); }; });

  ShowOptions show;
  std::string color = "log_prob";
  sub = Subcommand(&app, "show", "one group, or one rollout of it, in full",
                   "grouper-trace show runs/quickstart/rl --id 792 --color entropy --tokens",
                   &show.run, &show.json);
  sub->add_option("--step", show.step, "step; default: the last")->check(CLI::NonNegativeNumber);
  sub->add_option("--group", show.group, "group in the step, from 0; default: 0")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--id", show.rollout_id, "one rollout by its id")->check(CLI::NonNegativeNumber);
  sub->add_option("--prompt", show.prompt_ordinal, "the group of this prompt ordinal")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--color", color,
                  "colour of tokens: log_prob, entropy, off; always: also when stdout is no "
                  "terminal or NO_COLOR is set (entropy,always)")
      ->capture_default_str();
  sub->add_flag("--tokens", show.tokens, "list every token; with --json: the arrays");
  sub->callback([&] {
    run = [&] {
      show.color = ParseTokenColor(color, TerminalWantsColor());
      RunShow(show, std::cout, std::cerr);
    };
  });

  StatsOptions stats;
  sub = Subcommand(&app, "stats", "figures of every step", "grouper-trace stats runs/quickstart/rl",
                   &stats.run, &stats.json);
  sub->callback([&] { run = [&] { RunStats(stats, std::cout, std::cerr); }; });

  DigestOptions digest;
  sub = Subcommand(&app, "digest",
                   "SHA-256 of what was sampled and scored; equal for identical traces",
                   "grouper-trace digest runs/quickstart/rl", &digest.run, &digest.json);
  sub->callback([&] { run = [&] { RunDigest(digest, std::cout, std::cerr); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : ExitCode(ErrorKind::kUser);
  }
  USER_CHECK(run, "[trace] name a subcommand: ls, show, stats or digest (grouper-trace --help)");
  run();
  return 0;
}

}  // namespace
}  // namespace grouper

int main(int argc, char** argv) {
  return grouper::ExitCodeOf(
      [&] {
        const int code = grouper::Main(argc, argv);
        grouper::FlushStdout();
        return code;
      },
      [](const std::string& message) {
        std::cerr << "error: " << grouper::EscapeForTerminal(message) << '\n';
      },
      [](const std::string& what) { std::cerr << "error: [trace] internal: " << what << '\n'; });
}
