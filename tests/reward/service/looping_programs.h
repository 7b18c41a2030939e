// Programs that never end, among programs that are right, and what a service makes of them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "reward/code/code_grader.h"
#include "reward/scorer.h"
#include "reward/service/client.h"
#include "reward/service/service.h"
#include "tests/testing/fake_grader.h"

namespace grouper::testing {

// Every second program loops. All differ, so none is judged on behalf of another one.
inline std::vector<reward::v1::ScoreItem> Programs(int count) {
  std::vector<reward::v1::ScoreItem> items;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    items.push_back(CodeItem(number, i % 2 == 0 ? "x = " + number + "\nwhile True:\n  x += 1\n"
                                                : "def f(x):\n  y = " + number + "\n  return x\n"));
    items.back().set_group_id(std::to_string(i / 16));
  }
  return items;
}

// "0 SCORED TLE", one for each item.
inline std::vector<std::string> Verdicts(const Scorer& scorer, int workers, int count,
                                         double deadline_seconds) {
  const RewardService service(&scorer, {.code_workers = workers});
  RewardClient client({service.address()}, {.deadline_seconds = deadline_seconds});
  const std::vector<Rubric> rubrics = {
      RubricFrom("extraction: WHOLE component { name: \"accuracy\" } "
                 "code { cpu_seconds: 1 wall_seconds: 5 }")};
  std::vector<std::string> verdicts;
  for (const reward::v1::ScoreResult& r : client.Score(rubrics, Programs(count))) {
    verdicts.push_back(r.item_id() + " " + reward::v1::ScoreResult::Status_Name(r.status()) + " " +
                       reward::v1::ScoreResult::Verdict_Name(r.verdict()));
  }
  return verdicts;
}

inline std::vector<std::string> Right(int count) {
  std::vector<std::string> verdicts;
  for (int i = 0; i < count; ++i)
    verdicts.push_back(std::to_string(i) + " SCORED " + (i % 2 == 0 ? "TLE" : "AC"));
  return verdicts;
}

inline std::vector<std::string> JudgedInTheJail(int workers, int count, double deadline_seconds) {
  static const Jail jail;
  const CodeGrader code(&jail);  // with a cache of its own
  const Scorer scorer(nullptr, &code);
  return Verdicts(scorer, workers, count, deadline_seconds);
}

inline bool NoJail() {
  static const Jail jail;
  return !jail.standing();
}

}  // namespace grouper::testing
