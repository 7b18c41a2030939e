// A value that is not a number, put into logits, loss and gradient, or a policy that blew up: the
// update stops naming the rollout or the tensor, no weight moves by a bit, and the run can go on.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "proto/textproto.h"
#include "reward/scorer.h"
#include "reward/service.h"
#include "rl/quickstart.h"
#include "rl/trainer.h"
#include "tests/testing/fake_grader.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class NonfiniteTest : public ::testing::Test {
 protected:
  using Spoil = std::function<void(Trainer*, std::vector<Group>*)>;

  NonfiniteTest()
      : grader_([](const reward::v1::ScoreItem& item, const GradeBudget&) {
          return testing::Judged(item.sample_index() % 2 == 0 ? reward::v1::ScoreResult::CORRECT
                                                              : reward::v1::ScoreResult::WRONG);
        }),
        scorer_(&grader_, nullptr),
        service_(&scorer_, {}) {
    config_ = QuickstartConfig(QuickstartStage::kRl, 7, true);
    config_.set_steps(3);
    config_.set_checkpoint_every(1);
    config_.mutable_data()->set_train(folder_.Write(
        "rows.jsonl",
        "{\"question\":\"1+1=\",\"answer\":\"2\"}\n{\"question\":\"2+3=\",\"answer\":\"5\"}\n"));
    config_.mutable_data()->set_tokenizer("bytes");
    config_.mutable_data()->set_eval("");
    config_.mutable_reward()->clear_rubric();
    MergeTextproto(
        R"(reward { rubric { name: "calc" extraction: WHOLE component { name: "accuracy" } } })",
        "test", &config_);
    config_.mutable_reward()->add_addresses(service_.address());
  }

  std::string Weights(const std::string& run) {
    Trainer trainer(config_, run, {.threads = 1}, {});
    return trainer.Run({}).weights_sha256;
  }

  // Spoils step 1 before its update; the words of the error that ends the run.
  std::string Check(const std::string& name, const Spoil& spoil) {
    const std::string run = JoinPath(folder_.path(), name);
    Trainer* running = nullptr;
    std::string before;
    const auto values = [&] {
      const Buffer& buffer = running->session().policy().weights().values();
      return std::string(static_cast<const char*>(buffer.data()), buffer.bytes());
    };
    TrainHooks hooks;
    hooks.before_update = [&](int64_t step, std::vector<Group>* groups) {
      if (step != 1) return;
      spoil(running, groups);
      before = values();
    };
    std::string words;
    {
      Trainer trainer(config_, run, {.threads = 1}, hooks);
      running = &trainer;
      try {
        trainer.Run({});
        ADD_FAILURE() << name << " went unseen";
      } catch (const Error& error) {
        EXPECT_EQ(ExitCode(error.kind()), 1) << error.message();
        words = error.message();
      }
      EXPECT_TRUE(values() == before) << name << ": a weight moved";
    }
    EXPECT_NE(words.find("no weight was changed"), std::string::npos) << words;
    EXPECT_NE(words.find("the same way twice"), std::string::npos) << words;
    EXPECT_EQ(Weights(run), reference_) << name << ": the run does not go on";
    return words;
  }

  void SetUp() override { reference_ = Weights(JoinPath(folder_.path(), "reference")); }

  testing_support::TempFolder folder_;
  testing::FakeGrader grader_;
  Scorer scorer_;
  RewardService service_;
  Config config_;
  std::string reference_;
};

TEST_F(NonfiniteTest, InLogits) {
  uint64_t first = 0;
  const std::string words = Check("logits", [&](Trainer* trainer, std::vector<Group>* groups) {
    trainer->session().policy().weights().tensors().final_norm.as<float>()[3] = kNan;
    first = (*groups)[0].completions(0).rollout_id();
  });
  EXPECT_NE(words.find("not finite"), std::string::npos) << words;
  EXPECT_NE(words.find("rollout " + std::to_string(first).substr(0, 1)), std::string::npos)
      << words;
}

TEST_F(NonfiniteTest, InLoss) {
  uint64_t spoiled = 0;
  const std::string words = Check("loss", [&](Trainer*, std::vector<Group>* groups) {
    (*groups)[2].set_advantages(1, std::numeric_limits<double>::quiet_NaN());
    spoiled = (*groups)[2].completions(1).rollout_id();
  });
  EXPECT_NE(words.find(": " + std::to_string(spoiled)), std::string::npos) << words;
}

TEST_F(NonfiniteTest, InGradient) {
  const std::string words = Check("gradient", [&](Trainer*, std::vector<Group>* groups) {
    (*groups)[2].set_advantages(1, 1e60);  // finite in fp64, infinite in fp32
  });
  EXPECT_NE(words.find("gradient is not finite"), std::string::npos) << words;
  EXPECT_NE(words.find("first bad element: embedding["), std::string::npos) << words;
}

}  // namespace
}  // namespace grouper
