// `grouper eval` on the checkpoint of a smoke run. It gives the figures that the run itself
// reported, the same object with any number of threads, and samples that grouper-trace can open.
#include <gtest/gtest.h>

#include "base/io/file.h"
#include "base/io/json.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

Ran Eval(const std::string& run, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"eval", "--checkpoint", run + "/rl", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram("grouper", arguments);
}

TEST(Eval, ACheckpointIsEnoughAndSamplesAreTraces) {
  SKIP_WITHOUT_ISOLATION();
  const std::string run = FreshFolder("eval"), samples = FreshFolder("eval-samples");
  const Ran quick = RunProgram("grouper", {"quickstart", "--smoke", "--run", run, "--json"});
  ASSERT_EQ(quick.code, 0) << quick.err;
  const Json before = ParseJson(quick.out, "quickstart");

  const Ran plain = Eval(run, {});
  ASSERT_EQ(plain.code, 0) << plain.err;
  const Json json = ParseJson(plain.out, "eval");
  EXPECT_EQ(json.Number("pass_at_1", "eval"), before.Number("pass_at_1_after", "quickstart"));
  EXPECT_EQ(json.Number("greedy", "eval"), before.Number("greedy_after", "quickstart"));
  EXPECT_EQ(json.String("weights_sha256", "eval"), before.String("weights_sha256", "quickstart"));
  EXPECT_EQ(json.Integer("questions", "eval"), 8);
  EXPECT_EQ(json.Integer("k", "eval"), 2);
  EXPECT_FALSE(json.String("scorer_version", "eval").empty());
  EXPECT_EQ(json.At("pass_at_k", "eval").items.size(), 2u);
  EXPECT_EQ(Eval(run, {"--threads", "1", "--set", "rollout.max_running=2"}).out, plain.out)
      << "neither threads nor parts change a bit";

  const Ran set =
      Eval(run, {"--set", "eval.samples=4", "--set", "eval.temperature=0.7", "--set",
                 "eval.top_p=0.9", "--set", "eval.max_new_tokens=12", "--run", samples});
  ASSERT_EQ(set.code, 0) << set.err;
  EXPECT_EQ(ReadFile(samples + "/eval.json", "report"), set.out);
  const Json& sampling = ParseJson(set.out, "eval").At("sampling", "eval");
  EXPECT_EQ(sampling.Number("temperature", "sampling"), 0.7);
  EXPECT_EQ(sampling.Number("top_p", "sampling"), 0.9);
  EXPECT_EQ(sampling.Integer("max_new_tokens", "sampling"), 12);

  const Ran show = RunProgram("grouper-trace", {"show", samples, "--step", "0", "--group", "7"});
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_NE(show.out.find("4 completions"), std::string::npos) << show.out;
  EXPECT_EQ(RunProgram("grouper-trace", {"show", samples, "--step", "1", "--group", "7"}).code, 0)
      << "the greedy answers";
  const Ran again = Eval(run, {"--set", "eval.questions=2", "--run", samples});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(RunProgram("grouper-trace", {"show", samples, "--step", "0", "--group", "2"}).code, 2)
      << "a folder of samples is made anew";

  const Ran refused = Eval(run, {"--run", run + "/rl"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("training run"), std::string::npos) << refused.err;
  const Ran same = Eval(run, {"--set", "eval.temperature=0"});
  EXPECT_EQ(same.code, 2);
  EXPECT_NE(same.err.find("eval.samples=1"), std::string::npos) << same.err;
}

TEST(Eval, WithoutACheckpointItSaysWhatIsMissing) {
  const Ran ran = RunProgram("grouper", {"eval"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find("--checkpoint"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace grouper
