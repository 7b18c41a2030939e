// Scores groups while others are still being sampled: one thread sends all complete groups that
// have gathered. Finish stores the scores by the place of their group, so no bit depends on timing,
// and rethrows a failure, as scoring after sampling would. One thread calls Add and Finish.
// Invariant: nothing of the caller's is changed before Finish.
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "base/queue.h"
#include "base/thread.h"
#include "proto/trace.pb.h"

namespace grouper {

class ScoringAhead {
 public:
  // Fills the scores of every group, or throws; runs on this object's thread.
  using Score = std::function<void(std::vector<Group>* groups, std::stop_token stop)>;

  // groups: the number of groups that will be added.
  ScoringAhead(size_t groups, Score score);
  // If Finish was not called, the call in progress is stopped and its result is dropped.
  ~ScoringAhead();

  // Adds a copy of a complete group; place is its index in the step.
  void Add(size_t place, const Group& group);
  // Waits until all added groups are scored, and moves their scores into groups[place]. Rethrows
  // the first failure. False when a stop was requested first: the call in progress is stopped, and
  // groups is unchanged.
  bool Finish(std::vector<Group>* groups, std::stop_token stop = {});

 private:
  struct Placed {
    size_t place;
    Group group;
  };
  // The copy of a group is dropped as soon as it has been scored.
  struct Scored {
    size_t place;
    google::protobuf::RepeatedPtrField<reward::v1::ScoreResult> scores;
  };
  void Work(const Score& score, std::stop_token stop);

  Queue<Placed> waiting_;
  std::vector<Scored> done_;  // the thread's until it has been joined
  NamedThread thread_;        // last: it uses the others
};

}  // namespace grouper
