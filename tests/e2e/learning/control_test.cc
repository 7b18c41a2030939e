// Controls that take minutes (label slow).
#include <gtest/gtest.h>

#include "base/io/json.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

// Rewards permuted over the whole batch carry no information: held-out accuracy must not rise.
// Noise still moves the share of answers that skip thinking, in either direction. Over other seeds
// of the permutation, the change after 25 steps had a mean of about 0 and a deviation of 0.06 (0.02
// of it from the evaluation); true rewards give +0.5. A change of numerics may therefore move one
// seed over the bound, so look at several seeds before you blame the code.
class ShuffledRewards : public ::testing::TestWithParam<int> {};

TEST_P(ShuffledRewards, TeachNothing) {
  SKIP_WITHOUT_ISOLATION();
  const std::string run = testing::FreshFolder("shuffled");
  const testing::Ran ran = testing::RunProgram(
      "grouper", {"quickstart", "--seed", std::to_string(GetParam()), "--run", run, "--json",
                  "--set", "steps=25", "--set", "eval_every=0", "--set", "reward.shuffle=true"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json json = ParseJson(ran.out, "quickstart");
  const double before = json.Number("pass_at_1_before", "json"),
               after = json.Number("pass_at_1_after", "json");
  EXPECT_LT(after, before + 0.05) << "seed " << GetParam();
  EXPECT_EQ(json.Integer("mismatch", "json"), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShuffledRewards, ::testing::Values(1, 2, 3));

// What the README promises for the seeds 1 to 5.
class Quickstart : public ::testing::TestWithParam<int> {};

TEST_P(Quickstart, Learns) {
  SKIP_WITHOUT_ISOLATION();
  const std::string run = testing::FreshFolder("quickstart");
  const testing::Ran ran = testing::RunProgram(
      "grouper", {"quickstart", "--seed", std::to_string(GetParam()), "--run", run, "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json json = ParseJson(ran.out, "quickstart");
  const double before = json.Number("pass_at_1_before", "json"),
               after = json.Number("pass_at_1_after", "json");
  EXPECT_GE(after, 0.85);
  EXPECT_GE(after - before, 0.35);
  EXPECT_EQ(json.Integer("mismatch", "json"), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Quickstart, ::testing::Values(1, 2, 3, 4, 5));

}  // namespace
}  // namespace grouper
