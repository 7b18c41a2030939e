// `kill -9` at a sample of the named points of the shrunk quickstart: in every stage, at every
// file, in the middle of a checkpoint, and in recovery itself. kill_all_test.cc (label slow) has
// all points.
#include <gtest/gtest.h>

#include "tests/e2e/durability/kill_case.h"

namespace grouper {
namespace {

using testing::KillCase;
using testing::KillPlace;
using testing::Outcome;

class KillSample : public ::testing::Test {
 protected:
  // Kills the run at one point after the other, then lets it finish.
  void Check(const std::vector<KillPlace>& places) {
    std::string text;
    for (const KillPlace& place : places) text += place.text() + " ";
    SCOPED_TRACE(text);
    run_.Clear();
    for (const KillPlace& place : places)
      EXPECT_TRUE(run_.Run(&place)) << "the run never reached the point";
    run_.Run();
    EXPECT_EQ(run_.outcome(), reference_);
  }
  void SetUp() override {
    SKIP_WITHOUT_ISOLATION();
    run_.Run();
    reference_ = run_.outcome();
    ASSERT_TRUE(reference_.left_behind.empty()) << reference_.left_behind[0];
  }
  KillCase run_{"kill-sample"};
  Outcome reference_;
};

TEST_F(KillSample, OneKillChangesNoBit) {
  Check({{"sft.updated", 9}});
  Check({{"quickstart.sft_done"}});
  Check({{"quickstart.before_stored"}});
  Check({{"trace.completion_appended", 40}});
  Check({{"step.traced", 4}});
  Check({{"metrics.line_appended", 48}});
  Check({{"checkpoint.model_written", 24}});
  Check({{"checkpoint.renamed", 25}});
}

TEST_F(KillSample, KillsInRecoveryChangeNoBit) {
  Check({{"step.traced", 4}, {"verdicts.written"}, {"append.cut", 2}, {"step.traced"}});
  Check({{"checkpoint.manifest_written", 12}, {"resume.loaded", 1}, {"tidy.checkpoint_aside", 1}});
}

}  // namespace
}  // namespace grouper
