// A code grader whose jail is built and tested only when the first program comes, so that files
// without programs do not pay for it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "reward/code/code_grader.h"

namespace grouper {

class LazyCodeGrader final : public Grader {
 public:
  explicit LazyCodeGrader(JailOptions options) : options_(std::move(options)) {}

  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override {
    std::call_once(once_, [this] {
      jail_ = std::make_unique<Jail>(options_);
      grader_ = std::make_unique<CodeGrader>(jail_.get());
    });
    return grader_->Grade(item, rubric, budget);
  }

 private:
  const JailOptions options_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<Jail> jail_;
  mutable std::unique_ptr<CodeGrader> grader_;
};

}  // namespace grouper
