#include "rl/algorithm/dynamic_sampling.h"

#include "rl/algorithm/verdict.h"

namespace grouper {
namespace {

// Why the group's own verdicts give it no signal; empty if they do.
const char* LackOf(const Group& group) {
  int64_t scored = 0, right = 0;
  for (const reward::v1::ScoreResult& score : group.scores()) {
    if (score.status() != reward::v1::ScoreResult::SCORED) continue;
    ++scored;
    right += IsRight(score) ? 1 : 0;
  }
  if (scored == 0) return "unscored";
  if (right == 0) return "all_wrong";
  return right == scored ? "all_right" : "";
}

}  // namespace

int64_t ChooseGroups(int64_t wanted, std::span<Group> groups) {
  int64_t trained = 0;
  for (Group& group : groups) {
    group.set_dropped(LackOf(group));
    if (!group.dropped().empty()) continue;
    if (trained == wanted) {
      group.set_dropped("surplus");
    } else {
      ++trained;
    }
  }
  return trained;
}

int64_t DroppedTokens(std::span<const Group> groups) {
  int64_t tokens = 0;
  for (const Group& group : groups) {
    if (group.dropped().empty()) continue;
    for (const Completion& completion : group.completions()) tokens += completion.ids_size();
  }
  return tokens;
}

}  // namespace grouper
