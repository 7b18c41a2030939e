// The interface of graders and what they return about one completion. A judgement is a value, not
// an exception: a wrong answer, a failing test and the program's own time limit are SCORED. Another
// status means that the task or the grader itself failed. Graders are pure functions of item and
// rubric, and are thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/reward.pb.h"

namespace grouper {

inline constexpr const char* kGraderVersion = "grouper-reward 0.1.0";

struct Judgement {
  reward::v1::ScoreResult::Status status = reward::v1::ScoreResult::SCORED;
  reward::v1::ScoreResult::Verdict verdict = reward::v1::ScoreResult::WRONG;
  std::string reason;  // a stable code for programs to read
  reward::v1::Extraction extraction;
  std::vector<reward::v1::TestVerdict> tests;
  std::vector<std::string> flags;
  bool cached = false;
  bool right() const {
    return status == reward::v1::ScoreResult::SCORED &&
           (verdict == reward::v1::ScoreResult::CORRECT || verdict == reward::v1::ScoreResult::AC);
  }
};

// The time at which work on an item must end, and a way to end it earlier.
struct GradeBudget {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::stop_token stop = {};
  // Set by callers with other work to do. If the same work is already in progress for another item,
  // a grader may keep this function and return at once with STATUS_UNSPECIFIED, which means "not
  // judged yet". It calls the function, from any thread, when that work has ended; the item should
  // then be graded again. Without the function it waits.
  std::function<void()> resume = {};
};

class Grader {
 public:
  virtual ~Grader() = default;
  virtual Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                          const GradeBudget& budget) const = 0;
};

}  // namespace grouper
