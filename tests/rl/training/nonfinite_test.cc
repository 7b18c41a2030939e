// A value that is not a number, put into logits, loss and gradient, or a policy that blew up: the
// update stops naming the rollout or the tensor, no weight moves by a bit, and the run can go on.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class NonfiniteTest : public testing::JudgedRunTest {
 protected:
  using Spoil = std::function<void(Trainer*, std::vector<Group>*)>;

  NonfiniteTest()
      : JudgedRunTest(
            [](const reward::v1::ScoreItem& item) { return item.sample_index() % 2 == 0; }) {
    config_.set_steps(3);
    config_.set_checkpoint_every(1);
  }

  // Spoils step 1 before its update; the words of the error that ends the run.
  std::string Check(const std::string& name, const Spoil& spoil) {
    const std::string run = Folder(name);
    std::string words;
    {
      Trainer trainer(config_, run, {.threads = 1}, {});
      const auto values = [&] {
        const Buffer& buffer = trainer.session().policy().weights().values();
        return std::string(static_cast<const char*>(buffer.data()), buffer.bytes());
      };
      EXPECT_TRUE(trainer.Step({}));
      std::optional<StepExperience> experience = trainer.Collect({});
      spoil(&trainer, &experience->rollout.groups);
      const std::string before = values();
      try {
        trainer.Learn(std::move(*experience), {});
        ADD_FAILURE() << name << " went unseen";
      } catch (const Error& error) {
        EXPECT_EQ(ExitCode(error.kind()), 1) << error.message();
        words = error.message();
      }
      EXPECT_TRUE(values() == before) << name << ": a weight moved";
    }
    EXPECT_NE(words.find("no weight was changed"), std::string::npos) << words;
    EXPECT_NE(words.find("the same way twice"), std::string::npos) << words;
    EXPECT_EQ(Run(run).weights_sha256, reference_) << name << ": the run does not go on";
    return words;
  }

  void SetUp() override { reference_ = Run(Folder("reference")).weights_sha256; }

  std::string reference_;
};

TEST_F(NonfiniteTest, InLogits) {
  uint64_t first = 0;
  const std::string words = Check("logits", [&](Trainer* trainer, std::vector<Group>* groups) {
    trainer->session().policy().weights().tensors().final_norm.as<float>()[3] = kNan;
    // The learner begins with the sequences that need a gradient, in canonical order.
    const std::vector<TrainSequence> sequences = SequencesOf(*groups);
    first = std::find_if(sequences.begin(), sequences.end(), [](const TrainSequence& s) {
              return s.signal;
            })->rollout_id;
  });
  EXPECT_EQ(words.find("not_finite=0"), std::string::npos) << words;
  EXPECT_NE(words.find("the first: rollout=" + std::to_string(first) + " position="),
            std::string::npos)
      << words;
  EXPECT_NE(words.find("log_prob=0x7fc00000 (nan)"), std::string::npos) << words;
}

TEST_F(NonfiniteTest, InLoss) {
  uint64_t spoiled = 0;
  const std::string words = Check("loss", [&](Trainer*, std::vector<Group>* groups) {
    (*groups)[2].set_advantages(1, std::numeric_limits<double>::quiet_NaN());
    spoiled = (*groups)[2].completions(1).rollout_id();
  });
  EXPECT_NE(words.find("rollout=" + std::to_string(spoiled)), std::string::npos) << words;
}

TEST_F(NonfiniteTest, InGradient) {
  const std::string words = Check("gradient", [&](Trainer*, std::vector<Group>* groups) {
    (*groups)[2].set_advantages(1, 1e60);  // finite in fp64, infinite in fp32
  });
  EXPECT_NE(words.find("gradient is not finite"), std::string::npos) << words;
  EXPECT_NE(words.find("first_bad_element=embedding["), std::string::npos) << words;
}

}  // namespace
}  // namespace grouper
