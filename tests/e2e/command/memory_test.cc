// Compares the memory that `grouper train --dry-run` prints with what the run took according to the
// kernel, for the whole process and not only its tensors.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "base/io/file.h"
#include "base/io/json.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;

TEST(Memory, ARunTakesWhatTheDryRunPrints) {
  const std::string folder = FreshFolder("memory");
  // The policy is so large that the tensors outweigh the program, whose size is only known roughly.
  const TinyRun tiny{.steps = 3,
                     .checkpoint_every = 1,
                     .prompts_per_step = 8,
                     .width = 256,
                     .head_dim = 128,
                     .layers = 12,
                     .settings = "rollout { kv_cache_bytes: 25165824 }"};
  std::vector<std::string> arguments = TrainArguments(tiny.Write(folder), JoinPath(folder, "run"));
  arguments.push_back("--dry-run");
  arguments.push_back("--json");
  const Ran plan = RunProgram("grouper", arguments);
  ASSERT_EQ(plan.code, 0) << plan.err;
  const double planned =
      ParseJson(plan.out, "plan").At("memory", "plan").Number("total_bytes", "plan") / 0x1p20;
  EXPECT_LT(plan.most_bytes / 0x1p20, 40) << "a plan takes next to nothing";
  arguments.resize(arguments.size() - 2);
  const Ran run = RunProgram("grouper", arguments);
  ASSERT_EQ(run.code, 0) << run.err;
  const double taken = run.most_bytes / 0x1p20;
  EXPECT_NEAR(taken / planned, 1, 0.05) << "planned " << planned << " MiB, taken " << taken;
}

// No completion of the untrained policy is right, so the step samples all its rounds before the run
// gives up, and holds all their groups. Most of a group here are the experts of its prompt.
TEST(Memory, EveryRoundOfDynamicSamplingIsInThePlan) {
  const std::string folder = FreshFolder("memory-rounds");
  TinyRun tiny{.steps = 1,
               .prompts_per_step = 64,
               .layers = 16,
               .experts = 8,
               .experts_per_token = 8,
               .rows = true,
               .settings =
                   "dynamic_sampling { enabled: true max_rounds: 4 } "
                   "rollout { kv_cache_bytes: 8388608 max_running: 64 prefill_tokens: 256 }"};
  const std::string config = tiny.Write(folder);
  std::ofstream(JoinPath(folder, "rows.jsonl"))
      << R"({"question":")" << std::string(900, 'q') << R"(","answer":"123456789"})"
      << "\n";
  std::vector<std::string> arguments =
      TrainArguments(config, JoinPath(folder, "run"), {"policy.max_positions=1024"});
  arguments.push_back("--dry-run");
  arguments.push_back("--json");
  const Ran plan = RunProgram("grouper", arguments);
  ASSERT_EQ(plan.code, 0) << plan.err;
  const Json memory = ParseJson(plan.out, "plan").At("memory", "plan");
  // The run gives up before anything is learned.
  double planned = memory.Number("total_bytes", "plan") / 0x1p20, rollouts = 0;
  for (const Json& part : memory.At("parts", "plan").items) {
    const std::string name = part.String("name", "part");
    const double mebibytes = part.Number("bytes", "part") / 0x1p20;
    if (name.rfind("learner ", 0) == 0) planned -= mebibytes;
    if (name == "rollouts of a step") rollouts = mebibytes;
  }
  ASSERT_GT(rollouts, planned / 3) << "the rounds must be a large part of the plan";
  arguments.resize(arguments.size() - 2);
  const Ran run = RunProgram("grouper", arguments);
  ASSERT_EQ(run.code, 2) << run.err;
  ASSERT_NE(run.err.find("dynamic_sampling.max_rounds rounds"), std::string::npos) << run.err;
  const double taken = run.most_bytes / 0x1p20;
  EXPECT_GT(planned, 0.95 * taken) << "planned " << planned << " MiB, taken " << taken;
  std::printf("planned %.1f MiB, taken %.1f\n", planned, taken);
  EXPECT_LT(planned, 1.4 * taken) << "planned " << planned << " MiB, taken " << taken;
}

}  // namespace
}  // namespace grouper
