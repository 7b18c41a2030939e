// Exit codes of the program, and what it writes to stdout and stderr.
#include <stdio.h>
#include <sys/wait.h>

#include <string>
#include <tuple>

#include "base/io/file.h"
#include "base/io/json.h"
#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

Outcome RunProgram(const std::string& arguments, const std::string& folder) {
  const std::string err = folder + "/stderr.txt";
  const std::string command = std::string(GROUPER_TRACE_PROGRAM) + " " + arguments + " 2>" + err;
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    outcome.out.append(buffer, got);
  outcome.code = WEXITSTATUS(pclose(pipe));
  outcome.err = ReadFile(err, "stderr");
  return outcome;
}

TEST(TraceProgram, ExitCodesAndStreams) {
  const TemporaryFolder folder;
  const std::string run = folder.path() + "/run";
  TraceWriter(run, SampleHeader()).AppendStep(0, SampleStep(0));
  const std::tuple<std::string, int, std::string> rows[] = {
      // arguments, exit code, words on stdout (0) or stderr
      {"--version", 0, "grouper-trace "},
      {"--help", 0, "Example:"},
      {"show --help", 0, "Example:"},
      {"ls --help", 0, "Example:"},
      {"stats --help", 0, "Example:"},
      {"digest --help", 0, "Example:"},
      {"ls " + run, 0, "calc:1"},
      {"show " + run + " --group 1", 0, "prompt 1"},
      {"show " + run + " --id 4 --tokens", 0, "log-prob"},
      {"show " + run + " --color=always", 0, "\x1b[48;5;"},
      {"stats " + run, 0, "no signal"},
      {"digest " + run, 0, "\n"},
      {"", 2, "subcommand"},
      {"list " + run, 2, "list"},
      {"ls", 2, "RUN"},
      {"ls " + run + " --step x", 2, "--step"},
      {"show " + run + " --id -4", 2, "--id"},
      {"ls " + run + " --step 3", 2, "it holds step 0"},
      {"show " + run + " --color=blue", 2, "--color takes"},
      {"digest " + folder.path() + "/none", 2, "no such run folder"},
  };
  for (const auto& [arguments, code, words] : rows) {
    const Outcome outcome = RunProgram(arguments, folder.path());
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    const std::string& text = code == 0 ? outcome.out : outcome.err;
    EXPECT_NE(text.find(words), std::string::npos) << arguments << "\n" << text;
    if (code != 0) {
      EXPECT_EQ(outcome.out, "") << arguments;
    }
  }
  // No terminal, no colour.
  EXPECT_EQ(RunProgram("show " + run, folder.path()).out.find('\x1b'), std::string::npos);
}

TEST(TraceProgram, JsonKeepsStdoutClean) {
  const TemporaryFolder folder;
  const std::string run = folder.path() + "/run";
  TraceWriter(run, SampleHeader()).AppendStep(0, SampleStep(0));
  { AppendFile(LearnerSegmentPath(run)).Append("torn"); }
  const Outcome outcome = RunProgram("digest --json " + run, folder.path());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(ParseJson(outcome.out, "digest").At("torn", "digest").boolean);
  EXPECT_NE(outcome.err.find("unfinished frame"), std::string::npos);
}

}  // namespace
}  // namespace grouper
