// A run with R1's structure: several minibatches per step, and KL to a reference that is refreshed.
// A run that is killed in the third minibatch comes to the bits of one that was left alone.
#include <gtest/gtest.h>
#include <signal.h>

#include "base/io/file.h"
#include "base/io/json_lines.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::ResultOf;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;

class OffPolicy : public ::testing::Test {
 protected:
  OffPolicy()
      : folder_(FreshFolder("off-policy")),
        config_(TinyRun{.prompts_per_step = 4,
                        .layers = 2,
                        .experts = 4,
                        .experts_per_token = 2,
                        .settings = "batch { minibatches: 4 } loss { aggregation: SEQ kl: K3 "
                                    "kl_beta: 0.01 } reference { refresh_every: 6 }"}
                    .Write(folder_)) {}
  ~OffPolicy() override { RemoveTree(folder_); }

  std::string Run(const std::string& name) const { return JoinPath(folder_, name); }
  Ran Train(const std::string& name, const std::vector<std::string>& environment = {}) const {
    return RunProgram("grouper", TrainArguments(config_, Run(name)), environment);
  }
  std::string Outcome(const std::string& name) const { return ResultOf(Run(name)); }

  std::string folder_, config_;
};

TEST_F(OffPolicy, RatiosAndKlAreWhatTheStructureSays) {
  const Ran ran = Train("whole");
  ASSERT_EQ(ran.code, 0) << ran.err;
  JsonLinesReader rows(JoinPath(Run("whole"), "metrics.jsonl"), "metrics");
  int64_t steps = 0, refreshes = 0;
  for (Json row; rows.Next(&row); ++steps) {
    const auto count = [&](const char* key) { return row.Integer(key, "row"); };
    EXPECT_EQ(count("check.tokens"), count("rollout.sampled_tokens")) << steps;
    EXPECT_EQ(count("check.logprob_mismatch"), 0);
    EXPECT_EQ(count("ratio.not_one_first"), 0) << steps;
    EXPECT_GT(count("ratio.not_one"), 0) << steps;
    EXPECT_EQ(count("update.count") + count("update.skipped_no_signal"), 4);
    EXPECT_GT(row.Number("kl.k3", "row"), 0) << steps;
    if (steps == 0) {
      EXPECT_GT(count("kl.zero_tokens"), 0) << "the first update: nothing has moved";
    }
    refreshes += count("reference.refreshes");
  }
  EXPECT_EQ(steps, 6);
  EXPECT_EQ(refreshes, 4) << "24 updates, every 6th";
}

TEST_F(OffPolicy, AKillInTheThirdMinibatchChangesNoBit) {
  ASSERT_EQ(Train("whole").code, 0);
  const std::string whole = Outcome("whole");
  // The third minibatch of the first step, of a step right after a checkpoint, and of the last
  // step.
  for (const int update : {3, 11, 23}) {
    const std::string name = "killed-" + std::to_string(update);
    EXPECT_EQ(Train(name, {"GROUPER_KILL_POINT=update.begun:" + std::to_string(update)}).code,
              128 + SIGKILL);
    EXPECT_FALSE(FileExists(JoinPath(Run(name), "result.json")));
    EXPECT_EQ(Train(name).code, 0);
    EXPECT_EQ(Outcome(name), whole) << update;
  }
}

}  // namespace
}  // namespace grouper
