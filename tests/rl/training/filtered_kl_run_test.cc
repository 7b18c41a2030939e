// The r1 example with a sampling filter, in small: its KL term needs the reference over the ids
// that the sampler kept.
#include <gtest/gtest.h>

#include "base/io/file.h"
#include "base/io/json_lines.h"
#include "proto/textproto.h"
#include "rl/experience/group_scorer.h"
#include "rl/training/trainer.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

// Every other completion gets reward 1.
class EveryOther final : public GroupScorer {
 public:
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
    for (Group& group : *groups) {
      group.clear_scores();
      for (int i = 0; i < group.completions_size(); ++i) {
        auto* score = group.add_scores();
        score->set_item_id(std::to_string(group.completions(i).rollout_id()));
        score->set_status(reward::v1::ScoreResult::SCORED);
        score->set_verdict(i % 2 == 0 ? reward::v1::ScoreResult::CORRECT
                                      : reward::v1::ScoreResult::WRONG);
        score->set_reward(i % 2 == 0 ? 1 : 0);
      }
    }
    return 0;
  }
};

TEST(FilteredKlRun, TheR1ExampleWithTopPTrainsWithoutAMismatch) {
  testing_support::TempFolder folder;
  for (const char* place : {"IN_LOSS", "IN_REWARD"}) {
    SCOPED_TRACE(place);
    Config config;
    MergeTextprotoFile(JoinPath(GROUPER_EXAMPLES, "quickstart_r1.textproto"), &config);
    MergeTextproto(std::string("steps: 12 prompts_per_step: 4 group_size: 4 eval_every: 0 "
                               "checkpoint_every: 0 data { eval: \"\" } batch { minibatches: 1 } "
                               "sampling { top_p: 0.95 max_new_tokens: 16 } policy { width: 32 } "
                               "reference { refresh_every: 5 } optimizer { lr: 5e-3 } "
                               "loss { kl_place: ") +
                       place + " }",
                   "test", &config);
    const std::string run = JoinPath(folder.path(), place);
    EveryOther scorer;
    Trainer trainer(config, run, {.threads = 2}, {.scorer = &scorer});
    const TrainResult result = trainer.Run({});
    EXPECT_EQ(result.steps, 12);
    EXPECT_EQ(result.mismatches, 0);
    EXPECT_GT(result.checked_tokens, 12 * 16);
    JsonLinesReader rows(JoinPath(run, "metrics.jsonl"), "metrics");
    const std::string metric = std::string(place) == "IN_LOSS" ? "kl.k3" : "kl.in_reward";
    int64_t step = 0;
    for (Json row; rows.Next(&row); ++step) {
      ASSERT_NE(row.Find(metric), nullptr);
      // The reference is the policy at the start and after updates 5 and 10.
      EXPECT_EQ(row.Find(metric)->number == 0, step % 5 == 0) << step;
    }
    EXPECT_EQ(step, 12);
  }
}

}  // namespace
}  // namespace grouper
