// The items of one RewardClient::Score, ready to be cut into calls: equal tasks are held once, and
// the bytes and the worst-case time of each item are known. Immutable, so threads may share it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "proto/reward.pb.h"

namespace grouper {

// What a service can do, as far as calls depend on it. The defaults are those of a service that
// does not say.
struct ServiceAbility {
  int math_workers = 2;
  int code_workers = 2;
  int max_items = 256;
  size_t max_bytes = size_t{64} << 20;
  bool shared_tasks = false;
};
ServiceAbility AbilityOf(const reward::v1::Capabilities& capabilities);

class CallItems {
 public:
  // rubrics must outlive this object. kUser when an item names no rubric of the list.
  CallItems(std::span<const Rubric> rubrics, std::vector<reward::v1::ScoreItem> items);

  size_t size() const { return items_.size(); }
  // Without its task when tasks were taken out of the items.
  const reward::v1::ScoreItem& item(size_t i) const { return items_[i]; }
  std::span<const Rubric> rubrics() const { return rubrics_; }
  const Rubric& rubric(size_t i) const { return *rubric_of_[i]; }
  bool is_code(size_t i) const { return is_code_[i] != 0; }
  // The longest time, in seconds, that judging the item can take on an idle worker.
  double worst_seconds(size_t i) const { return worst_seconds_[i]; }

  // The bytes that a call grows by with this item and, if `with_task`, with its task.
  size_t bytes(size_t i, bool with_task) const;
  // Equal tasks have equal numbers; kNoTask for an item that has none.
  static constexpr size_t kNoTask = std::numeric_limits<size_t>::max();
  size_t task(size_t i) const { return task_of_[i]; }
  size_t rubric_bytes() const { return rubric_bytes_; }

  // `share`: tasks are listed once; otherwise each item holds a copy of its own.
  reward::v1::ScoreBatchRequest Request(std::span<const size_t> which, bool share) const;

 private:
  std::span<const Rubric> rubrics_;
  size_t rubric_bytes_ = 0;
  std::vector<reward::v1::ScoreItem> items_;
  std::vector<reward::v1::SharedTask> tasks_;
  std::vector<size_t> task_of_, item_bytes_, task_bytes_;
  std::vector<const Rubric*> rubric_of_;
  std::vector<char> is_code_;
  std::vector<double> worst_seconds_;
};

}  // namespace grouper
