// pass@k against known numbers and against counting, maj@k with its ties, and that a completion
// which is not SCORED never counts as a wrong answer.
#include "rl/evaluation/eval_tally.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace grouper {
namespace {

using Score = reward::v1::ScoreResult;

// Each letter is a member: R right, W wrong, N no answer, T timeout. `answers` are their answers.
Group MakeGroup(const std::string& members, const std::vector<std::string>& answers = {}) {
  Group group;
  for (size_t i = 0; i < members.size(); ++i) {
    Completion* c = group.add_completions();
    const std::string answer = i < answers.size() ? answers[i] : std::string(1, members[i]);
    c->set_text("so: " + answer + ".");
    c->add_ids(1);
    c->set_finish_reason(members[i] == 'N' ? Completion::LENGTH : Completion::STOP);
    Score* score = group.add_scores();
    score->set_grader_version("test-1");
    score->set_status(members[i] == 'T' ? Score::TIMEOUT : Score::SCORED);
    score->set_verdict(members[i] == 'R'   ? Score::CORRECT
                       : members[i] == 'N' ? Score::NO_ANSWER
                                           : Score::WRONG);
    if (members[i] == 'N' || members[i] == 'T') continue;
    score->mutable_extraction()->set_rung("line");
    score->mutable_extraction()->set_begin(4);
    score->mutable_extraction()->set_end(static_cast<uint32_t>(4 + answer.size()));
  }
  return group;
}

TEST(PassAtK, ConformanceNumbers) {
  EXPECT_DOUBLE_EQ(PassAtK(16, 3, 1), 0.1875);
  EXPECT_NEAR(PassAtK(16, 3, 4), 0.607142857, 1e-9);
  EXPECT_NEAR(PassAtK(16, 3, 8), 0.9, 1e-12);
  EXPECT_EQ(PassAtK(16, 3, 16), 1);
  EXPECT_EQ(PassAtK(16, 0, 16), 0);
  EXPECT_EQ(PassAtK(1, 1, 1), 1);
  EXPECT_NEAR(PassAtK(4096, 1, 1), 1.0 / 4096, 1e-15);
}

// Counts over every subset of k of n samples, of which the first c are right.
TEST(PassAtK, IsTheShareOfSubsetsThatHoldARightSample) {
  for (int n = 1; n <= 8; ++n) {
    for (int c = 0; c <= n; ++c) {
      for (int k = 1; k <= n; ++k) {
        double sets = 0, with = 0;
        for (unsigned set = 0; set < (1u << n); ++set) {
          if (std::popcount(set) != k) continue;
          sets += 1;
          with += (set & ((1u << c) - 1)) != 0 ? 1 : 0;
        }
        EXPECT_NEAR(PassAtK(n, c, k), with / sets, 1e-12) << n << " " << c << " " << k;
      }
    }
  }
}

TEST(Majority, MostVotesWin) {
  EXPECT_EQ(MajorityIsRight(MakeGroup("RWWR", {"7", "8", "9", "7"})), true);
  EXPECT_EQ(MajorityIsRight(MakeGroup("RWWR", {"7", "8", "8", "7 "})), true) << "a tie, 7 is first";
  EXPECT_EQ(MajorityIsRight(MakeGroup("WRRW", {"8", "7", "7", "8"})), false) << "a tie, 8 is first";
  EXPECT_EQ(MajorityIsRight(MakeGroup("WWRRR", {"8", "8", "7", " 7", "7\n"})), true)
      << "white space does not count";
  EXPECT_EQ(MajorityIsRight(MakeGroup("WWRRR", {"8", "8", "7", "7.0", "14/2"})), false)
      << "the gold does not vote: answers are compared as written";
}

TEST(Majority, NoAnswerAndFailuresDoNotVote) {
  EXPECT_EQ(MajorityIsRight(MakeGroup("NNNR")), true);
  EXPECT_EQ(MajorityIsRight(MakeGroup("TTTW")), false);
  EXPECT_EQ(MajorityIsRight(MakeGroup("NN")), false);
  EXPECT_EQ(MajorityIsRight(MakeGroup("TT")), std::nullopt);
}

TEST(EvalTally, CountsAndErrorsOverQuestions) {
  EvalTally tally(4);
  for (const char* members : {"RRWW", "WWWW", "RTTT", "TTTT", "RNNN"}) {
    tally.Add(MakeGroup(members));
  }
  const EvalFigures f = tally.Finish();
  EXPECT_EQ(f.questions, 4) << "one question had no scored sample";
  EXPECT_EQ(f.completions, 20);
  EXPECT_EQ(f.samples, 13);
  EXPECT_EQ(f.not_scored, 7);
  EXPECT_DOUBLE_EQ(f.unscored, 7.0 / 20);
  EXPECT_DOUBLE_EQ(f.truncated, 3.0 / 20);
  EXPECT_DOUBLE_EQ(f.length_mean, 1);
  EXPECT_EQ(f.grader_versions, std::set<std::string>{"test-1"});
  EXPECT_DOUBLE_EQ(f.pass_at_1, (0.5 + 0 + 1 + 0.25) / 4);
  // Sample deviation of .5 0 1 .25 over the root of 4.
  EXPECT_NEAR(f.standard_error, std::sqrt(0.546875 / 3 / 4), 1e-12);
  ASSERT_EQ(f.pass_at_k.size(), 3u);
  EXPECT_EQ(f.pass_at_k[0].k, 1);
  EXPECT_EQ(f.pass_at_k[0].value, f.pass_at_1);
  EXPECT_EQ(f.pass_at_k[1].k, 2);
  EXPECT_EQ(f.pass_at_k[1].questions, 3) << "one scored sample of four is too few for k = 2";
  EXPECT_NEAR(f.pass_at_k[1].value, (5.0 / 6 + 0 + 0.5) / 3, 1e-12);
  EXPECT_EQ(f.pass_at_k[2].k, 4);
  EXPECT_NEAR(f.pass_at_k[2].value, 2.0 / 3, 1e-12);
  EXPECT_EQ(f.maj_at_k.k, 4);
  EXPECT_DOUBLE_EQ(f.maj_at_k.value, 3.0 / 4);
}

TEST(EvalTally, NothingScoredIsNoFigureAndNoDivision) {
  EvalTally tally(3);
  EXPECT_EQ(tally.Finish().pass_at_1, 0);
  tally.Add(MakeGroup("TTT"));
  const EvalFigures f = tally.Finish();
  EXPECT_EQ(f.questions, 0);
  EXPECT_EQ(f.pass_at_k.size(), 3u) << "k = 1, 2, 3";
  EXPECT_EQ(f.unscored, 1);
}

}  // namespace
}  // namespace grouper
