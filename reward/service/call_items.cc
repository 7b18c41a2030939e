#include "reward/service/call_items.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace grouper {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreItem;
using reward::v1::SharedTask;

namespace {

constexpr size_t kFrameBytes = 16;     // tags and lengths of an item and of its task in the request
constexpr double kMathSeconds = 0.05;  // the graders of numbers have budgets of work
constexpr double kStartSeconds = 1;    // the jail and the interpreter of a program

// The limits hold for all tests of a program together. Time in which it had no processor does not
// count for them, which is why deadlines leave room above this.
double WorstSeconds(const CodeRules& code) {
  return std::max(std::ceil(code.cpu_seconds()), code.wall_seconds()) + kStartSeconds;
}

// Deterministic, so that equal tasks give equal bytes: tasks hold no maps.
std::string BytesOf(const SharedTask& task) { return task.SerializeAsString(); }

}  // namespace

ServiceAbility AbilityOf(const reward::v1::Capabilities& capabilities) {
  ServiceAbility ability;
  if (capabilities.math_workers() > 0) {
    ability.math_workers = static_cast<int>(std::min(capabilities.math_workers(), 4096u));
  }
  if (capabilities.code_workers() > 0) {
    ability.code_workers = static_cast<int>(std::min(capabilities.code_workers(), 4096u));
  }
  if (capabilities.max_items() > 0) {
    ability.max_items = static_cast<int>(std::min(capabilities.max_items(), 256u));
  }
  if (capabilities.max_message_bytes() > 0) {
    ability.max_bytes =
        std::min(ability.max_bytes, static_cast<size_t>(capabilities.max_message_bytes()));
  }
  ability.shared_tasks = capabilities.shared_tasks();
  return ability;
}

CallItems::CallItems(std::span<const Rubric> rubrics, std::vector<ScoreItem> items)
    : rubrics_(rubrics), items_(std::move(items)) {
  std::map<std::string, const Rubric*> by_name;
  for (const Rubric& rubric : rubrics) {
    by_name[rubric.name()] = &rubric;
    rubric_bytes_ += rubric.ByteSizeLong() + kFrameBytes;
  }
  std::map<std::string, size_t> seen;
  for (ScoreItem& item : items_) {
    const auto rubric = by_name.find(item.rubric());
    USER_CHECK(rubric != by_name.end(), "[reward] an item names a rubric that is not defined",
               Named("item_id", Excerpt(item.item_id())), Named("rubric", Excerpt(item.rubric())));
    rubric_of_.push_back(rubric->second);
    is_code_.push_back(item.has_code() ? 1 : 0);
    worst_seconds_.push_back(item.has_code() ? WorstSeconds(rubric->second->code()) : kMathSeconds);
    SharedTask task;
    if (item.has_math()) *task.mutable_math() = std::move(*item.mutable_math());
    if (item.has_code()) *task.mutable_code() = std::move(*item.mutable_code());
    item.clear_task();
    item_bytes_.push_back(item.ByteSizeLong() + kFrameBytes);
    if (task.task_case() == SharedTask::TASK_NOT_SET) {
      task_of_.push_back(kNoTask);
      continue;
    }
    const auto [place, fresh] = seen.emplace(BytesOf(task), tasks_.size());
    task_of_.push_back(place->second);
    if (!fresh) continue;
    task_bytes_.push_back(place->first.size() + kFrameBytes);
    tasks_.push_back(std::move(task));
  }
}

size_t CallItems::bytes(size_t i, bool with_task) const {
  return item_bytes_[i] + (with_task && task_of_[i] != kNoTask ? task_bytes_[task_of_[i]] : 0);
}

ScoreBatchRequest CallItems::Request(std::span<const size_t> which, bool share) const {
  ScoreBatchRequest request;
  for (const Rubric& rubric : rubrics_) *request.add_rubrics() = rubric;
  std::map<size_t, uint32_t> places;
  for (const size_t i : which) {
    ScoreItem* item = request.add_items();
    *item = items_[i];
    if (task_of_[i] == kNoTask) continue;
    const SharedTask& task = tasks_[task_of_[i]];
    if (share) {
      const auto [place, fresh] =
          places.emplace(task_of_[i], static_cast<uint32_t>(request.tasks_size()));
      if (fresh) *request.add_tasks() = task;
      item->set_shared_task(place->second);
    } else if (task.has_math()) {
      *item->mutable_math() = task.math();
    } else {
      *item->mutable_code() = task.code();
    }
  }
  return request;
}

}  // namespace grouper
