// Clients trust no reply of a reward service.
#pragma once

#include <string>

#include "proto/reward.pb.h"

namespace grouper {

// The reason why a reply cannot be right: its count, ids, statuses, ranges or sizes. Empty if it
// can.
std::string FindLie(const reward::v1::ScoreBatchRequest& request,
                    const reward::v1::ScoreBatchResponse& response);

}  // namespace grouper
