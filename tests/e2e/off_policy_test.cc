// R1's structure through the program: several minibatches a step, KL to a reference that is
// refreshed. Killed in the third minibatch, the run ends in the bits of the run left alone.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "base/file.h"
#include "base/json_lines.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

constexpr const char* kTiny = R"(
steps: 6 prompts_per_step: 4 group_size: 4 eval_every: 0 checkpoint_every: 2
policy { width: 16 layers: 2 attention { heads: 2 kv_heads: 1 head_dim: 8 }
         moe { experts: 4 experts_per_token: 2 width: 8 shared_width: 8 } max_positions: 64 }
data { train: "tasks:calc,fit" eval: "" }
sampling { max_new_tokens: 8 }
batch { minibatches: 4 }
loss { aggregation: SEQ kl: K3 kl_beta: 0.01 }
reference { refresh_every: 6 }
optimizer { lr: 1e-2 }
reward { rubric { name: "calc" extraction: WHOLE component { name: "accuracy" }
                  component { name: "overlong" weight: 0.5 max_tokens: 8 ramp_tokens: 8 } }
         rubric { name: "fit" extraction: ANSWER_TAG component { name: "accuracy" }
                  component { name: "overlong" weight: 0.5 max_tokens: 8 ramp_tokens: 8 } } }
)";

class OffPolicy : public ::testing::Test {
 protected:
  OffPolicy() : folder_(FreshFolder("off-policy")), config_(JoinPath(folder_, "tiny.textproto")) {
    std::ofstream(config_) << kTiny;
  }
  ~OffPolicy() override { RemoveTree(folder_); }

  std::string Run(const std::string& name) const { return JoinPath(folder_, name); }
  Ran Train(const std::string& name, const std::vector<std::string>& environment = {}) const {
    return RunProgram("grouper",
                      {"train", "--config", config_, "--run", Run(name), "--threads", "1"},
                      environment);
  }
  std::string Outcome(const std::string& name) const {
    return ReadFile(JoinPath(Run(name), "result.json"), "result") +
           RunProgram("grouper-trace", {"digest", Run(name)}).out;
  }

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
  // Third minibatch of the first step, of one right behind a checkpoint, and of the last.
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
