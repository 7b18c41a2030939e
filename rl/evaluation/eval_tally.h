// The figures of an evaluation, from its scored groups: pass@1, unbiased pass@k (Chen et al. 2021,
// "Evaluating Large Language Models Trained on Code", arXiv:2107.03374, eq. 1), maj@k, and standard
// errors over questions (docs/algorithms.md 12). Groups are added in order, so equal groups give
// equal bits.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proto/trace.pb.h"

namespace grouper {

// The chance that at least one of k samples is right, when the k are drawn without replacement from
// n samples of which c are right: 1 - C(n - c, k) / C(n, k). 0 <= c <= n, 1 <= k <= n.
double PassAtK(int64_t n, int64_t c, int64_t k);

// maj@k of a question. Every SCORED sample votes for the bytes of the answer that the grader read
// from it, with white space folded. A sample without an answer does not vote. The answer with the
// most votes wins, and of equal ones the earliest. It is right when a sample that gave it is right.
// The result is false when nobody voted, and empty when no sample is SCORED.
std::optional<bool> MajorityIsRight(const Group& group);
inline constexpr char kMajorityRule[] =
    "most frequent answer as the grader read it, white space folded; ties to the earliest; samples "
    "without an answer do not vote";

// A mean over questions, with its standard error.
struct EvalFigure {
  int64_t k = 0;
  int64_t questions = 0;
  double value = 0;
  double standard_error = 0;
};

struct EvalFigures {
  int64_t questions = 0;      // with at least one scored sample
  int64_t samples = 0;        // scored
  int64_t completions = 0;    // whether scored or not
  int64_t not_scored = 0;     // greedy answers included
  double pass_at_1 = 0;       // mean over questions of the share of right samples
  double standard_error = 0;  // over questions
  double length_mean = 0;     // tokens
  double truncated = 0;       // share of completions
  double unscored = 0;        // share of completions that are not SCORED
  // For k = 1, 2, 4, ... and the number of samples. Each is a mean over the questions that have at
  // least k scored samples.
  std::vector<EvalFigure> pass_at_k;
  EvalFigure maj_at_k;                    // its k is the number of samples per question
  std::set<std::string> grader_versions;  // of everything that was scored
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
