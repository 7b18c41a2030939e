// Follows examples/gsm8k*.textproto with a smaller policy and our own rows in GSM8K's format: cold
// start, training that a signal stops and the same command finishes, evaluation, traces.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

std::string WriteRows(const std::string& folder, const char* name, int first, int rows) {
  const std::string path = JoinPath(folder, name);
  std::ofstream out(path);
  for (int i = first; i < first + rows; ++i) {
    const int boxes = 3 + i % 7, pens = 100 * (1 + i % 15), all = boxes * pens;
    const std::string total =
        all < 1000 ? std::to_string(all)
                   : std::to_string(all / 1000) + "," + std::to_string(1000 + all % 1000).substr(1);
    out << R"({"question": "A shop has )" << boxes << " boxes of " << pens
        << R"( pens\u2019 refills. How many refills?", "answer": "It has )" << boxes << " * "
        << pens << " = <<" << boxes << "*" << pens << "=" << all << ">>" << total
        << R"( refills.\n#### )" << total << "\"}\n";
  }
  return path;
}

class Gsm8k : public ::testing::Test {
 protected:
  Gsm8k()
      : folder_(FreshFolder("gsm8k")),
        train_(WriteRows(folder_, "train.jsonl", 0, 60)),
        eval_(WriteRows(folder_, "test.jsonl", 60, 10)) {}

  std::vector<std::string> Command(const std::string& verb, const std::string& config,
                                   const std::string& run,
                                   const std::vector<std::string>& settings) const {
    std::vector<std::string> arguments = {verb,
                                          "--config",
                                          JoinPath(GROUPER_EXAMPLES, config),
                                          run.empty() ? "--json" : "--run",
                                          "--set",
                                          "data.train=" + train_};
    if (!run.empty()) arguments.insert(arguments.begin() + 4, JoinPath(folder_, run));
    std::vector<std::string> all = {"policy.width=32", "policy.attention.heads=2",
                                    "policy.attention.kv_heads=1", "policy.moe.width=16",
                                    "policy.moe.shared_width=16"};
    all.insert(all.end(), settings.begin(), settings.end());
    for (const std::string& setting : all) arguments.insert(arguments.end(), {"--set", setting});
    return arguments;
  }
  std::vector<std::string> Train(const std::string& run) const {
    return Command("train", "gsm8k.textproto", run,
                   {"init_from=" + JoinPath(folder_, "sft"), "data.eval=" + eval_, "steps=24",
                    "prompts_per_step=2", "group_size=4", "sampling.max_new_tokens=64",
                    "eval_every=12", "eval.questions=4"});
  }
  std::string File(const std::string& run, const std::string& name) const {
    return JoinPath(JoinPath(folder_, run), name);
  }
  std::string Weights(const std::string& run) const {
    return ParseJson(ReadFile(File(run, "result.json"), "result"), "result")
        .String("weights_sha256", "result");
  }
  std::string Trace(const std::vector<std::string>& arguments) const {
    const Ran ran = RunProgram("grouper-trace", arguments);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
  }

  std::string folder_, train_, eval_;
};

TEST_F(Gsm8k, RunsFromColdStartToTracesAcrossASignal) {
  const Ran sft = RunProgram("grouper", Command("sft", "gsm8k_sft.textproto", "sft",
                                                {"sft.steps=10", "sft.documents_per_step=4"}));
  ASSERT_EQ(sft.code, 0) << sft.err;
  const Ran whole = RunProgram("grouper", Train("whole"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const Ran stopped =
      testing::RunAndSignal("grouper", Train("cut"), File("cut", "metrics.jsonl"), 5, SIGTERM);
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_FALSE(FileExists(File("cut", "result.json"))) << "the signal came too late";
  const Ran resumed = RunProgram("grouper", Train("cut"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(Weights("cut"), Weights("whole"));
  EXPECT_EQ(Trace({"digest", File("cut", "")}), Trace({"digest", File("whole", "")}));

  int64_t steps = 0, updates = 0, evaluations = 0;
  JsonLinesReader rows(File("cut", "metrics.jsonl"), "metrics");
  for (Json row; rows.Next(&row); ++steps) {
    EXPECT_EQ(row.Integer("step", "row"), steps);
    EXPECT_GT(row.Integer("check.tokens", "row"), 0);
    EXPECT_EQ(row.Integer("check.tokens", "row"), row.Integer("rollout.sampled_tokens", "row"));
    EXPECT_EQ(row.Integer("check.logprob_mismatch", "row"), 0);
    EXPECT_EQ(row.Integer("check.expert_mismatch", "row"), 0);
    EXPECT_EQ(row.Integer("reward.dropped", "row"), 0);
    updates += row.Integer("update.count", "row");
    evaluations += row.Find("eval.pass_at_1") != nullptr ? 1 : 0;
  }
  EXPECT_EQ(steps, 24);
  EXPECT_EQ(evaluations, 2);
  EXPECT_GE(updates, 18) << "groups without spread prove nothing";

  const std::string shown = Trace({"show", File("cut", ""), "--step", "3", "--group", "0"});
  EXPECT_NE(shown.find("boxes of"), std::string::npos) << shown;
  EXPECT_NE(Trace({"ls", File("cut", "")}), "");
  const std::string stats = Trace({"stats", File("cut", ""), "--json"});
  EXPECT_EQ(std::count(stats.begin(), stats.end(), '\n'), 24) << "one object a step";
}

TEST_F(Gsm8k, WithoutATestFileTheHeldOutLinesAreTheEvaluation) {
  const std::vector<std::string> small = {"steps=1", "data.holdout_every=20",
                                          "sampling.max_new_tokens=8"};
  const Ran train = RunProgram("grouper", Command("train", "gsm8k.textproto", "alone", small));
  ASSERT_EQ(train.code, 0) << train.err;
  EXPECT_NE(train.out.find("3 questions"), std::string::npos) << train.out;
  std::vector<std::string> arguments = Command("eval", "gsm8k.textproto", "", small);
  arguments.insert(arguments.end(), {"--checkpoint", File("alone", "")});
  const Ran eval = RunProgram("grouper", arguments);
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(ParseJson(eval.out, "eval").Integer("questions", "eval"), 3);
}

}  // namespace
}  // namespace grouper
