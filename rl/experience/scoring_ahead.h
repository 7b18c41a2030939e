// Scores groups while others are still sampled: one thread sends what is complete, as much at a
// time as has gathered. Scores land beside their group by its place, so no bit depends on timing. A
// failure surfaces in Finish, where scoring after sampling would fail. Add and Finish belong to one
// thread. Invariant: nothing of the caller's is touched before Finish.
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

  // groups: how many there will be.
  ScoringAhead(size_t groups, Score score);
  // Without Finish: the call in work is stopped and its result dropped.
  ~ScoringAhead();

  // A copy of a complete group, by its place in the step.
  void Add(size_t place, const Group& group);
  // Waits for what was added and moves its scores into groups[place]; rethrows the first failure.
  // False when stop was requested first: the call in work is stopped, groups is unchanged.
  bool Finish(std::vector<Group>* groups, std::stop_token stop = {});

 private:
  struct Placed {
    size_t place;
    Group group;
  };
  void Work(const Score& score, std::stop_token stop);

  Queue<Placed> waiting_;
  std::vector<Placed> done_;  // the thread's until it has been joined
  NamedThread thread_;        // last: it uses the others
};

}  // namespace grouper
