#include "rl/evaluation/eval_tally.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "base/error.h"
#include "rl/algorithm/verdict.h"

namespace grouper {
namespace {

// The text with every run of white space as one blank, and none at the ends.
std::string FoldSpace(std::string_view text) {
  std::string folded;
  bool gap = false;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      gap = !folded.empty();
      continue;
    }
    if (gap) folded.push_back(' ');
    gap = false;
    folded.push_back(c);
  }
  return folded;
}

}  // namespace

double PassAtK(int64_t n, int64_t c, int64_t k) {
  CHECK(0 <= c && c <= n && 1 <= k && k <= n, "[eval] pass@k needs 0 <= c <= n and 1 <= k <= n",
        Named("n", n), Named("c", c), Named("k", k));
  if (n - c < k) return 1;
  // C(n - c, k) / C(n, k) is the product of (1 - k / i) over i = n - c + 1 to n.
  double none = 1;
  for (int64_t i = n - c + 1; i <= n; ++i) {
    none *= 1 - static_cast<double>(k) / static_cast<double>(i);
  }
  return 1 - none;
}

std::optional<bool> MajorityIsRight(const Group& group) {
  struct Votes {
    int64_t count = 0;
    int first = 0;
    bool right = false;
  };
  std::map<std::string, Votes> votes;
  bool scored = false;
  for (int i = 0; i < group.completions_size(); ++i) {
    const reward::v1::ScoreResult& score = group.scores(i);
    if (score.status() != reward::v1::ScoreResult::SCORED) continue;
    scored = true;
    const reward::v1::Extraction& found = score.extraction();
    if (found.rung().empty()) continue;
    // The span of the text is used, because extraction.answer may be cut.
    const std::string_view text(group.completions(i).text());
    const size_t begin = std::min<size_t>(found.begin(), text.size());
    const size_t end = std::min<size_t>(std::max(found.end(), found.begin()), text.size());
    const auto [entry, first] = votes.try_emplace(FoldSpace(text.substr(begin, end - begin)));
    if (first) entry->second.first = i;
    ++entry->second.count;
    entry->second.right = entry->second.right || IsRight(score);
  }
  if (!scored) return std::nullopt;
  const Votes* best = nullptr;
  for (const auto& [answer, vote] : votes) {
    if (best == nullptr || vote.count > best->count ||
        (vote.count == best->count && vote.first < best->first)) {
      best = &vote;
    }
  }
  return best != nullptr && best->right;
}

void EvalTally::Mean::Add(double value) {
  ++questions;
  sum += value;
  squares += value * value;
}

EvalFigure EvalTally::Mean::At(int64_t k) const {
  EvalFigure figure{k, questions, 0, 0};
  const double n = static_cast<double>(questions);
  if (questions == 0) return figure;
  figure.value = sum / n;
  const double variance = questions > 1 ? std::max(0.0, (squares - sum * sum / n) / (n - 1)) : 0;
  figure.standard_error = std::sqrt(variance / n);
  return figure;
}

EvalTally::EvalTally(int64_t samples_per_question) : samples_per_question_(samples_per_question) {
  for (int64_t k = 1; k < samples_per_question; k *= 2) ks_.push_back(k);
  ks_.push_back(samples_per_question);
  pass_at_k_.resize(ks_.size());
}

void EvalTally::Add(const Group& group) {
  int64_t right = 0, scored = 0;
  for (int i = 0; i < group.completions_size(); ++i) {
    const reward::v1::ScoreResult& score = group.scores(i);
    tokens_ += group.completions(i).ids_size();
    truncated_ += group.completions(i).finish_reason() == Completion::LENGTH ? 1 : 0;
    ++counts_.completions;
    if (!score.grader_version().empty()) counts_.grader_versions.insert(score.grader_version());
    if (score.status() != reward::v1::ScoreResult::SCORED) {
      ++counts_.not_scored;
      continue;
    }
    ++scored;
    right += IsRight(score) ? 1 : 0;
  }
  counts_.samples += scored;
  if (scored == 0) return;
  pass_at_1_.Add(static_cast<double>(right) / static_cast<double>(scored));
  for (size_t i = 0; i < ks_.size(); ++i) {
    if (ks_[i] <= scored) pass_at_k_[i].Add(PassAtK(scored, right, ks_[i]));
  }
  majority_.Add(*MajorityIsRight(group) ? 1 : 0);
}

EvalFigures EvalTally::Finish() const {
  EvalFigures figures = counts_;
  const EvalFigure first = pass_at_1_.At(1);
  figures.questions = first.questions;
  figures.pass_at_1 = first.value;
  figures.standard_error = first.standard_error;
  for (size_t i = 0; i < ks_.size(); ++i) figures.pass_at_k.push_back(pass_at_k_[i].At(ks_[i]));
  figures.pass_at_k[0] = first;  // the same mean, computed by a simpler formula
  figures.maj_at_k = majority_.At(samples_per_question_);
  const double completions = static_cast<double>(figures.completions);
  if (figures.completions > 0) {
    figures.length_mean = tokens_ / completions;
    figures.truncated = truncated_ / completions;
    figures.unscored = static_cast<double>(figures.not_scored) / completions;
  }
  return figures;
}

}  // namespace grouper
