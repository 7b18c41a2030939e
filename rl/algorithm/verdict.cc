#include "rl/algorithm/verdict.h"

namespace grouper {

bool IsRight(const reward::v1::ScoreResult& score) {
  // Accuracy that its gate closed ("no accuracy without format") is not right.
  const auto accuracy = score.components().find("accuracy");
  if (accuracy != score.components().end() && accuracy->second <= 0) return false;
  return score.status() == reward::v1::ScoreResult::SCORED &&
         (score.verdict() == reward::v1::ScoreResult::CORRECT ||
          score.verdict() == reward::v1::ScoreResult::AC);
}

}  // namespace grouper
