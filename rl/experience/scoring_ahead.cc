#include "rl/experience/scoring_ahead.h"

#include <optional>
#include <utility>

#include "base/error.h"

namespace grouper {

ScoringAhead::ScoringAhead(size_t groups, Score score)
    : waiting_(groups + 1),
      thread_("scoring",
              [this, score = std::move(score)](std::stop_token stop) { Work(score, stop); }) {}

ScoringAhead::~ScoringAhead() {
  thread_.RequestStop();
  waiting_.Close();
}

void ScoringAhead::Work(const Score& score, std::stop_token stop) {
  while (std::optional<Placed> first = waiting_.Pop(stop)) {
    if (stop.stop_requested()) return;
    std::vector<size_t> places;
    std::vector<Group> groups;
    while (first) {
      places.push_back(first->place);
      groups.push_back(std::move(first->group));
      first = waiting_.size() > 0 ? waiting_.Pop(stop) : std::nullopt;
    }
    score(&groups, stop);
    for (size_t i = 0; i < groups.size(); ++i) {
      done_.push_back({places[i], std::move(*groups[i].mutable_scores())});
    }
  }
}

void ScoringAhead::Add(size_t place, const Group& group) {
  CHECK(waiting_.TryPush({place, group}), "[scoring] there are more groups than were announced",
        Named("place", place));
}

bool ScoringAhead::Finish(std::vector<Group>* groups, std::stop_token stop) {
  waiting_.Close();
  {
    const std::stop_callback give_up(stop, [this] { thread_.RequestStop(); });
    try {
      thread_.Join();
    } catch (...) {
      if (!stop.stop_requested()) throw;
    }
  }
  if (stop.stop_requested()) return false;
  for (Scored& scored : done_) {
    (*groups)[scored.place].mutable_scores()->Swap(&scored.scores);
  }
  done_.clear();
  return true;
}

}  // namespace grouper
