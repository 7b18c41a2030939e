// The program grouper-trace, which shows the reasoning traces of a run. This file declares the
// command line; command/ does the work.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "base/error.h"
#include "base/exit_code.h"
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
  sub->add_option("RUN", *run, "the run folder, its traces folder, or one segment")->required();
  sub->add_flag("--json", *json, "print JSON and nothing else on stdout");
  return sub;
}

int Main(int argc, char** argv) {
  CLI::App app("Shows the reasoning traces of a run.", "grouper-trace");
  app.set_version_flag("--version", "grouper-trace " GROUPER_VERSION);
  app.footer(
      "Exit codes: 0 success; 2 an error that you can fix; 1 an internal error.\n"
      "Example:\n  grouper-trace show runs/quickstart/rl --step 10 --group 2");
  app.require_subcommand(0, 1);  // a missing subcommand is reported below
  std::function<void()> run;

  LsOptions ls;
  CLI::App* sub = Subcommand(&app, "ls", "list the groups in a table",
                             "grouper-trace ls runs/quickstart/rl --step 10", &ls.run, &ls.json);
  sub->add_option("--step", ls.step, "list the groups of this step only")
      ->check(CLI::NonNegativeNumber);
  sub->callback([&] { run = [&] { RunLs(ls, std::cout, std::cerr); }; });

  ShowOptions show;
  std::string color = "log_prob";
  sub = Subcommand(&app, "show", "show one group, or one rollout of it, in full",
                   "grouper-trace show runs/quickstart/rl --id 792 --color entropy --tokens",
                   &show.run, &show.json);
  sub->add_option("--step", show.step, "the step; the default is the last one")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--group", show.group, "the group in the step, counted from 0; the default is 0")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--id", show.rollout_id, "show one rollout by its id")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--prompt", show.prompt_ordinal, "show the group of the prompt with this ordinal")
      ->check(CLI::NonNegativeNumber);
  sub->add_option(
         "--color", color,
         "what colours the tokens: log_prob, entropy or off; add always (entropy,always) for "
         "colours also when stdout is no terminal or NO_COLOR is set")
      ->capture_default_str();
  sub->add_flag("--tokens", show.tokens,
                "list every token; with --json, print the arrays of the tokens");
  sub->callback([&] {
    run = [&] {
      show.color = ParseTokenColor(color, TerminalWantsColor());
      RunShow(show, std::cout, std::cerr);
    };
  });

  StatsOptions stats;
  sub = Subcommand(&app, "stats", "print the figures of every step",
                   "grouper-trace stats runs/quickstart/rl", &stats.run, &stats.json);
  sub->callback([&] { run = [&] { RunStats(stats, std::cout, std::cerr); }; });

  DigestOptions digest;
  sub = Subcommand(&app, "digest",
                   "print a SHA-256 of what was sampled and scored; identical traces have the same",
                   "grouper-trace digest runs/quickstart/rl", &digest.run, &digest.json);
  sub->callback([&] { run = [&] { RunDigest(digest, std::cout, std::cerr); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : ExitCode(ErrorKind::kUser);
  }
  USER_CHECK(run, "[trace] name a subcommand: ls, show, stats or digest (grouper-trace --help)");
  run();
  std::cout.flush();
  USER_CHECK(
      std::cout.good(),
      "[trace] cannot write to stdout; check that the disk has room and the reader is still there");
  return 0;
}

}  // namespace
}  // namespace grouper

int main(int argc, char** argv) {
  return grouper::ExitCodeOf(
      [&] { return grouper::Main(argc, argv); },
      [](const std::string& message) {
        std::cerr << "error: " << grouper::EscapeForTerminal(message) << '\n';
      },
      [](const std::string& what) { std::cerr << "error: [trace] internal: " << what << '\n'; });
}
