// A grader that is a function, a gate that holds graders until a test has seen enough, and the
// items and rubrics that tests of scoring are made of.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "proto/textproto.h"
#include "reward/grader.h"

namespace grouper::testing {

class FakeGrader final : public Grader {
 public:
  using Function = std::function<Judgement(const reward::v1::ScoreItem&, const GradeBudget&)>;
  explicit FakeGrader(Function function) : function_(std::move(function)) {}
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric&,
                  const GradeBudget& budget) const override {
    return function_(item, budget);
  }

 private:
  Function function_;
};

inline Judgement Judged(reward::v1::ScoreResult::Verdict verdict) {
  Judgement j;
  j.verdict = verdict;
  j.reason = "fake";
  return j;
}

inline Judgement Failed(reward::v1::ScoreResult::Status status, const std::string& reason) {
  Judgement j;
  j.status = status;
  j.verdict = reward::v1::ScoreResult::VERDICT_UNSPECIFIED;
  j.reason = reason;
  return j;
}

// Right when the completion is "right".
inline Judgement ByText(const reward::v1::ScoreItem& item, const GradeBudget&) {
  return Judged(item.completion() == "right" ? reward::v1::ScoreResult::CORRECT
                                             : reward::v1::ScoreResult::WRONG);
}

// Holds whoever passes until Open, or until they are stopped.
class Gate {
 public:
  // True when it was opened, false when stopped.
  bool Pass(std::stop_token stop = {}) {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    return changed_.wait(lock, stop, [&] { return open_; });
  }
  void AwaitArrivals(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  int arrived() {
    std::lock_guard lock(mutex_);
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool open_ = false;
  int arrived_ = 0;
};

inline Rubric RubricFrom(const std::string& textproto) {
  Rubric rubric;
  MergeTextproto(textproto, "rubric", &rubric);
  return rubric;
}

inline reward::v1::ScoreItem MathItem(const std::string& id, const std::string& completion,
                                      const std::string& gold = "1") {
  reward::v1::ScoreItem item;
  item.set_item_id(id);
  item.set_completion(completion);
  item.set_rubric("default");
  item.mutable_math()->add_golds(gold);
  return item;
}

// A program `f` that must return its argument.
inline reward::v1::ScoreItem CodeItem(const std::string& id, const std::string& completion) {
  reward::v1::ScoreItem item;
  item.set_item_id(id);
  item.set_completion(completion);
  item.set_rubric("default");
  item.mutable_code()->mutable_problem()->set_entry("f");
  reward::v1::CodeCase* one = item.mutable_code()->mutable_problem()->add_cases();
  one->set_arguments_json("[1]");
  one->set_expected_json("1");
  return item;
}

}  // namespace grouper::testing
