// Tasks that several items of a call share (ScoreItem.shared_task), as the service reads them.
#pragma once

#include "proto/reward.pb.h"

namespace grouper {

// kUser, naming the field, for an item whose shared task does not exist, and for too many tasks.
void CheckSharedTasks(const reward::v1::ScoreBatchRequest& request, int most_tasks);

// The caller must have checked the request.
bool IsCode(const reward::v1::ScoreBatchRequest& request, const reward::v1::ScoreItem& item);

// A copy of the item that holds the shared task itself. A call may share one large task among all
// of its items, so such copies must not be made for more than the items that are being judged.
reward::v1::ScoreItem WithOwnTask(const reward::v1::ScoreBatchRequest& request,
                                  const reward::v1::ScoreItem& item);

}  // namespace grouper
