// grouper-reward as a program: it serves, answers `health` and drains on SIGTERM; what `score`
// refuses.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/process.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using namespace std::chrono_literals;
using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

ProcessOptions Serve() {
  ProcessOptions options;
  options.argv = {GROUPER_REWARD_PROGRAM, "serve", "--listen", "127.0.0.1:0", "--report-port"};
  options.report_and_lifeline_pipes = true;
  return options;
}

TEST(RewardServiceProgram, ServesTellsItsHealthAndDrains) {
  Process service(Serve());
  const std::string address = service.ReadReportLine(60s);
  const Ran health = RunProgram("grouper-reward", {"health", address, "--json"});
  const Json json = ParseJson(health.out, "stdout");  // JSON and nothing else
  EXPECT_TRUE(json.Find("serving")->boolean && json.Find("math")->boolean);
  // Serving is all of it: without a jail programs are not judged.
  EXPECT_EQ(health.code, json.Find("code")->boolean ? 0 : 75) << health.err;
  EXPECT_EQ(json.String("grader_version", "stdout"), "grouper-reward 0.1.0");
  EXPECT_EQ(RunProgram("grouper-reward", {"health", address}).code, health.code);

  service.Terminate();
  EXPECT_EQ(service.Wait(60s), std::optional<int>(0));
  const Ran gone = RunProgram("grouper-reward", {"health", address, "--json"});
  EXPECT_EQ(gone.code, 75);
  EXPECT_EQ(gone.out, "");
  EXPECT_NE(gone.err.find(address), std::string::npos) << gone.err;
}

TEST(RewardServiceProgram, SaysWhichLimitsItHas) {
  const Ran help = RunProgram("grouper-reward", {"serve", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag :
       {"--code-workers", "--threads", "--cache-bytes", "--max-cpu-seconds", "--max-wall-seconds",
        "--max-memory-bytes", "--max-output-bytes", "--max-tests", "Example: grouper-reward serve"})
    EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
  for (const char* flag : {"--max-cpu-seconds", "--max-wall-seconds", "--max-memory-bytes",
                           "--max-output-bytes", "--max-tests"}) {
    for (const char* value : {"0", "-1", "1e18", "x"}) {
      const Ran ran = RunProgram("grouper-reward", {"serve", flag, value});
      EXPECT_EQ(ran.code, 2) << flag << " " << value;
      EXPECT_NE(ran.err.find(flag), std::string::npos) << ran.err;
    }
  }
}

TEST(RewardServiceProgram, SelfTestSaysWhetherTheWallsStand) {
  const Ran ran = RunProgram("grouper-reward", {"health", "--self-test", "--json"});
  const Json json = ParseJson(ran.out, "stdout");
  EXPECT_EQ(json.Find("code")->boolean, json.String("self_test", "stdout") == "ok");
  EXPECT_EQ(ran.code, json.Find("code")->boolean ? 0 : 75) << ran.err;
  EXPECT_EQ(json.Find("code")->boolean, json.String("isolation_tier", "stdout") != "none");
}

TEST(RewardServiceProgram, TakesNoUnknownTierOfIsolation) {
  for (const char* word : {"none", "", "2"}) {
    EXPECT_EQ(RunProgram("grouper-reward", {"serve", "--min-isolation", word}).code, 2) << word;
  }
}

class ScoreProgram : public ::testing::Test {
 protected:
  Ran Score(const std::string& rows, const std::string& components) {
    const std::string folder = FreshFolder("score");
    std::ofstream(JoinPath(folder, "rows.jsonl")) << rows;
    std::ofstream(JoinPath(folder, "rubric.textproto")) << "extraction: WHOLE " << components;
    return RunProgram("grouper-reward", {"score", JoinPath(folder, "rows.jsonl"), "--rubric",
                                         JoinPath(folder, "rubric.textproto")});
  }
  static std::string Row(const std::string& more, const std::string& completion = "1") {
    return "{\"id\":7,\"completion\":\"" + completion + "\",\"answer\":\"1\"" + more + "}\n";
  }
};

TEST_F(ScoreProgram, LengthIsAddedOverEachGroup) {
  const Ran ran = Score(
      Row(",\"group_id\":\"a\",\"tokens\":10") + Row(",\"group_id\":\"a\",\"tokens\":30") +
          Row(",\"group_id\":\"a\",\"tokens\":20", "2") + Row(",\"group_id\":2,\"tokens\":99"),
      "component { name: \"accuracy\" } component { name: \"length\" }");
  ASSERT_EQ(ran.code, 0) << ran.err;
  std::istringstream lines(ran.out);
  for (const double reward : {1.5, 0.5, 0.0, 1.0}) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(ParseJson(line, "stdout").Number("reward", "stdout"), reward) << line;
  }
}

TEST_F(ScoreProgram, RefusesRowsThatItWouldMisread) {
  const std::string accuracy = "component { name: \"accuracy\" }";
  const std::string length = accuracy + " component { name: \"length\" }";
  const std::string overlong =
      accuracy + " component { name: \"overlong\" max_tokens: 9 ramp_tokens: 1 }";
  for (const auto& [rows, rubric, words] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {Row("") + Row(",\"golds\":[\"2\"]"), accuracy,
            "rows.jsonl:2: a row has one task, but both \"golds\""},
           {Row(",\"tokens\":-1"), accuracy, "\"tokens\" must be"},
           {Row(",\"tokens\":4294967296"), accuracy, "\"tokens\" must be"},
           {Row(",\"group_id\":[1]"), accuracy, "\"group_id\" must be"},
           {Row(""), overlong, "\"tokens\" is missing"},
           {Row(",\"tokens\":3"), length, "\"group_id\" is missing"},
           {Row(",\"tokens\":3,\"group_id\":\"a\"") + Row(",\"tokens\":3,\"group_id\":\"b\"") +
                Row(",\"tokens\":3,\"group_id\":\"a\""),
            length, "rows.jsonl:3: field \"group_id\""},
       }) {
    const Ran ran = Score(rows, rubric);
    EXPECT_EQ(ran.code, 2) << words;
    EXPECT_NE(ran.err.find(words), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("rows.jsonl:"), std::string::npos) << ran.err;
  }
}

}  // namespace
}  // namespace grouper
