// Figures of an evaluation from its scored groups: pass@1, unbiased pass@k (Chen et al. 2021,
// "Evaluating large language models trained on code", eq. 1), maj@k, standard errors over
// questions. Plain values and pure functions; groups are added in order, so equal groups give equal
// bits.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

// Chance that at least one of k samples, drawn without replacement from n of which c are right, is
// right: 1 - C(n - c, k) / C(n, k). 0 <= c <= n, 1 <= k <= n.
double PassAtK(int64_t n, int64_t c, int64_t k);

// maj@k of a question. Every SCORED sample votes for the bytes of the answer that the grader read
// from it, white space folded; one without an answer does not vote. Most votes win, a tie goes to
// the answer that came first; right when a sample that gave the answer is right. Nobody voted:
// false. Empty when no sample is SCORED.
std::optional<bool> MajorityIsRight(const Group& group);
inline constexpr char kMajorityRule[] =
    "most frequent answer as the grader read it, white space folded; ties to the earliest; samples "
    "without an answer do not vote";

// A mean over questions.
struct EvalFigure {
  int64_t k = 0;
  int64_t questions = 0;
  double value = 0;
  double standard_error = 0;
};

struct EvalFigures {
  int64_t questions = 0;      // with at least one scored sample
  int64_t samples = 0;        // scored
  int64_t completions = 0;    // scored or not
  int64_t not_scored = 0;     // greedy answers included
  double pass_at_1 = 0;       // mean over questions of the share of right samples
  double standard_error = 0;  // over questions
  double length_mean = 0;     // tokens
  double truncated = 0;       // share of completions
  double unscored = 0;        // share of completions that are not SCORED
  // k = 1, 2, 4, ... and the number of samples, each over the questions with at least k scored
  // samples.
  std::vector<EvalFigure> pass_at_k;
  EvalFigure maj_at_k;                    // k: samples of a question
  std::set<std::string> grader_versions;  // of everything scored
};

class EvalTally {
 public:
  explicit EvalTally(int64_t samples_per_question);
  void Add(const Group& group);
  EvalFigures Finish() const;

 private:
  struct Mean {
    double sum = 0, squares = 0;
    int64_t questions = 0;
    void Add(double value);
    EvalFigure At(int64_t k) const;
  };
  int64_t samples_per_question_;
  EvalFigures counts_;
  double tokens_ = 0, truncated_ = 0;
  Mean pass_at_1_, majority_;
  std::vector<int64_t> ks_;
  std::vector<Mean> pass_at_k_;  // by ks_
};

}  // namespace grouper
