// Output that cannot be written is an error, and a run whose output nobody reads any more ends with
// a save.
#include <gtest/gtest.h>

#include "base/io/file.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::ResultOf;
using testing::RunScript;
using testing::TinyRun;
using Strings = std::vector<std::string>;

class Output : public ::testing::Test {
 protected:
  Output() : folder_(FreshFolder("output")) {
    TinyRun{.steps = 3, .checkpoint_every = 0, .rows = true}.Write(folder_);
    const Ran ran = Script(Train("done") + " --json");
    EXPECT_EQ(ran.code, 0) << ran.err;
  }
  ~Output() override { RemoveTree(folder_); }

  // Runs in the test's folder, so that scripts are short.
  Ran Script(const std::string& script) const { return RunScript("cd " + folder_ + "\n" + script); }
  static std::string Train(const std::string& run) {
    return "grouper train --config tiny.textproto --threads 1 --set disk_wait_seconds=0 --run " +
           run;
  }
  static int Count(const std::string& text, const std::string& word) {
    int count = 0;
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      ++count;
    }
    return count;
  }

  std::string folder_;
};

TEST_F(Output, AFullDeviceIsOneErrorOfEveryCommand) {
  const Strings commands = {
      Train("done") + " --json",
      Train("done"),
      Train("other") + " --print-config",
      Train("other") + " --dry-run",
      "grouper eval --checkpoint done --set data.eval=rows.jsonl --json",
      "grouper sample --checkpoint done --prompt 1+1= --set sampling.max_new_tokens=4",
      "grouper sample --checkpoint done --prompt 1+1= --set sampling.max_new_tokens=4 --json",
      "grouper replay done --step 0 --json",
      "grouper doctor --json",
      "grouper --help",
      "grouper --version",
      "grouper-trace stats done",
      "grouper-trace ls done --json",
      "grouper-trace --help",
      "grouper-reward --help",
      "echo '{\"id\":\"a\",\"completion\":\"2\",\"answer\":\"2\"}' | grouper-reward score - "
      "--mode whole",
  };
  for (const std::string& command : commands) {
    SCOPED_TRACE(command);
    const Ran ran = Script(command + " > /dev/full");
    EXPECT_EQ(ran.code, 75) << ran.err;
    EXPECT_EQ(Count(ran.err, "standard output cannot be written"), 1) << ran.err;
  }
}

TEST_F(Output, ARunThatNobodyReadsAnyMoreSavesAndGoesOnLater) {
  for (const char* pipe : {" 2>&1 | head -n 1", " --json 2> >(head -n 1 >&2) > /dev/null"}) {
    SCOPED_TRACE(pipe);
    RemoveTree(folder_ + "/run");
    const Ran ran = Script(Train("run") + " --set steps=100000" + pipe + "\nexit ${PIPESTATUS[0]}");
    EXPECT_EQ(ran.code, 75) << ran.err;
    EXPECT_EQ(ListFolder(folder_ + "/run/checkpoints").size(), 1u);
  }
  EXPECT_EQ(Script(Train("whole") + " --set steps=40").code, 0);
  const Ran again = Script(Train("run") + " --set steps=40 > /dev/null");
  EXPECT_EQ(again.code, 0) << again.err;
}

}  // namespace
}  // namespace grouper
