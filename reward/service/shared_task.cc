#include "reward/service/shared_task.h"

#include <string>

#include "base/error.h"

namespace grouper {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreItem;
using reward::v1::SharedTask;

namespace {

const SharedTask& TaskOf(const ScoreBatchRequest& request, const ScoreItem& item) {
  CHECK(item.shared_task() < static_cast<uint32_t>(request.tasks_size()),
        "[reward] an item names a task that the call lacks");
  return request.tasks(static_cast<int>(item.shared_task()));
}

}  // namespace

void CheckSharedTasks(const ScoreBatchRequest& request, int most_tasks) {
  USER_CHECK(request.tasks_size() <= most_tasks,
             "[reward] tasks: the call has too many; send fewer", Named("limit", most_tasks));
  for (int i = 0; i < request.items_size(); ++i) {
    const ScoreItem& item = request.items(i);
    if (!item.has_shared_task()) continue;
    USER_CHECK(
        item.shared_task() < static_cast<uint32_t>(request.tasks_size()),
        "[reward] items[" + std::to_string(i) + "].shared_task: the call has no task of this index",
        Named("item_id", Excerpt(item.item_id())), Named("shared_task", item.shared_task()),
        Named("tasks", request.tasks_size()));
  }
}

bool IsCode(const ScoreBatchRequest& request, const ScoreItem& item) {
  return item.has_shared_task() ? TaskOf(request, item).has_code() : item.has_code();
}

ScoreItem WithOwnTask(const ScoreBatchRequest& request, const ScoreItem& item) {
  const SharedTask& task = TaskOf(request, item);
  ScoreItem own = item;
  own.clear_task();
  if (task.has_math()) *own.mutable_math() = task.math();
  if (task.has_code()) *own.mutable_code() = task.code();
  return own;
}

}  // namespace grouper
