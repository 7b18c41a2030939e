// An update that makes a weight or a moment not finite ends the run at once. No checkpoint holds
// the spoiled weights, not even the one that a signal asks for on the way out, and the run resumes
// from the last good one with the bits of a run that was left alone.
#include <limits>

#include "base/error.h"
#include "rl/training/sft.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

// Of the optimizer: the next update makes it, and the weight that depends on it, not finite.
void SpoilAMoment(Learner* learner) {
  static_cast<float*>(learner->optimizer().m().data())[5] = std::numeric_limits<float>::quiet_NaN();
}

std::vector<std::string> Checkpoints(const std::string& run) {
  return ListFolder(JoinPath(run, "checkpoints"));
}

std::stop_token Stopped() {
  std::stop_source stop;
  stop.request_stop();
  return stop.get_token();
}

// `step` must end with an error of a person's kind that names the element and says that the last
// checkpoint is good; `save_and_leave`, which a signal would ask for, must then fail.
template <typename Step, typename Save>
void ExpectSpoiled(const Step& step, const Save& save_and_leave) {
  try {
    step();
    ADD_FAILURE() << "the update was kept";
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.kind()), 2) << error.message();
    for (const char* words : {"first=weight embedding[5]", "no checkpoint holds it",
                              "so the last one is good", "optimizer.lr"}) {
      EXPECT_NE(error.message().find(words), std::string::npos) << error.message();
    }
  }
  try {
    save_and_leave();
    ADD_FAILURE() << "the spoiled weights were saved";
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.kind()), 1) << error.message();
  }
}

class SpoiledWeightsTest : public testing::JudgedRunTest {
 protected:
  SpoiledWeightsTest()
      : JudgedRunTest(
            [](const reward::v1::ScoreItem& item) { return item.sample_index() % 2 == 0; }) {
    config_.set_steps(3);
    config_.set_checkpoint_every(1);
  }
};

TEST_F(SpoiledWeightsTest, AreNeverSavedInTraining) {
  const std::string reference = Run(Folder("whole")).weights_sha256;
  const std::string run = Folder("spoiled");
  RunUntil(run, 1);  // the checkpoint is of step 1
  const std::vector<std::string> before = Checkpoints(run);
  ASSERT_EQ(before, (std::vector<std::string>{"step-00000001"}));
  {
    Trainer trainer(config_, run, {.threads = 1}, {});
    ASSERT_TRUE(trainer.Step({}));  // so there is something that is not saved yet
    SpoilAMoment(&trainer.learner());
    ExpectSpoiled([&] { trainer.Run({}); }, [&] { trainer.Run(Stopped()); });
  }
  EXPECT_EQ(Checkpoints(run), before);
  EXPECT_EQ(Run(run).weights_sha256, reference);
}

TEST(SpoiledSftWeights, AreNeverSavedInSupervisedTraining) {
  testing_support::TempFolder folder;
  Config config = QuickstartConfig(QuickstartStage::kSft, 7, true);
  config.mutable_sft()->set_steps(4);
  config.set_checkpoint_every(2);
  config.mutable_data()->set_eval("");
  config.clear_init_from();
  const auto run = [&](const std::string& to) {
    SftTrainer trainer(config, to, {.threads = 1}, {});
    return trainer.Run({}).weights_sha256;
  };
  const std::string reference = run(JoinPath(folder.path(), "whole"));
  const std::string spoiled = JoinPath(folder.path(), "spoiled");
  std::vector<std::string> before;
  {
    SftTrainer trainer(config, spoiled, {.threads = 1}, {});
    trainer.Step();
    trainer.Step();
    trainer.Run(Stopped());
    before = Checkpoints(spoiled);
    ASSERT_EQ(before, (std::vector<std::string>{"step-00000002"}));
    trainer.Step();
    SpoilAMoment(&trainer.learner());
    ExpectSpoiled([&] { trainer.Run({}); }, [&] { trainer.Run(Stopped()); });
  }
  EXPECT_EQ(Checkpoints(spoiled), before);
  EXPECT_EQ(run(spoiled), reference);
}

}  // namespace
}  // namespace grouper
