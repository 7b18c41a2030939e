// Exit codes of the program, and what it writes to stdout and stderr.
#include <stdio.h>
#include <sys/wait.h>

#include <string>
#include <vector>

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

// A run folder with one step, and a place for what the program writes.
class TraceProgram : public testing::Test {
 protected:
  TraceProgram() { TraceWriter(run_, SampleHeader()).AppendStep(0, SampleStep(0)); }

  TemporaryFolder folder_;
  std::string run_ = folder_.path() + "/run";
};

struct Call {
  const char* name;
  std::string arguments;  // with " RUN" for the run folder
  int code;
  std::string words;  // on stdout when the code is 0, else on stderr
};

class TraceProgramCall : public TraceProgram, public testing::WithParamInterface<Call> {};

TEST_P(TraceProgramCall, EndsWithItsExitCodeAndItsWords) {
  std::string arguments = GetParam().arguments;
  const size_t place = arguments.find(" RUN");
  if (place != std::string::npos) arguments.replace(place + 1, 3, run_);
  const Outcome outcome = RunProgram(arguments, folder_.path());
  EXPECT_EQ(outcome.code, GetParam().code) << outcome.err;
  const std::string& text = GetParam().code == 0 ? outcome.out : outcome.err;
  EXPECT_NE(text.find(GetParam().words), std::string::npos) << text;
  if (GetParam().code != 0) {
    EXPECT_EQ(outcome.out, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Calls, TraceProgramCall,
                         testing::ValuesIn(std::vector<Call>{
                             {"Version", "--version", 0, "grouper-trace "},
                             {"Help", "--help", 0, "Example:"},
                             {"ShowHelp", "show --help", 0, "Example:"},
                             {"LsHelp", "ls --help", 0, "Example:"},
                             {"StatsHelp", "stats --help", 0, "Example:"},
                             {"DigestHelp", "digest --help", 0, "Example:"},
                             {"Ls", "ls RUN", 0, "calc:1"},
                             {"ShowGroup", "show RUN --group 1", 0, "prompt 1"},
                             {"ShowRollout", "show RUN --id 4 --tokens", 0, "log-prob"},
                             {"ShowInColour", "show RUN --color=always", 0, "\x1b[48;5;"},
                             {"Stats", "stats RUN", 0, "no signal"},
                             {"Digest", "digest RUN", 0, "\n"},
                             {"NoSubcommand", "", 2, "subcommand"},
                             {"UnknownSubcommand", "list RUN", 2, "list"},
                             {"NoRun", "ls", 2, "RUN"},
                             {"StepThatIsNoNumber", "ls RUN --step x", 2, "--step"},
                             {"NegativeRollout", "show RUN --id -4", 2, "--id"},
                             {"StepThatIsNotThere", "ls RUN --step 3", 2, "it holds step 0"},
                             {"UnknownColour", "show RUN --color=blue", 2, "--color takes"},
                             {"FolderThatIsNotThere", "digest RUN/none", 2, "no such run folder"},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(TraceProgram, WithoutATerminalThereIsNoColour) {
  const Outcome outcome = RunProgram("show " + run_, folder_.path());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
}

TEST_F(TraceProgram, JsonKeepsStdoutClean) {
  { AppendFile(LearnerSegmentPath(run_)).Append("torn"); }
  const Outcome outcome = RunProgram("digest --json " + run_, folder_.path());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(ParseJson(outcome.out, "digest").At("torn", "digest").boolean);
  EXPECT_NE(outcome.err.find("unfinished frame"), std::string::npos);
}

}  // namespace
}  // namespace grouper
