// The item that is sent to a reward service for one completion. A verdict is a function of this
// item and its rubric alone.
#pragma once

#include <string>

#include "proto/reward.pb.h"
#include "proto/rubric.pb.h"
#include "proto/trace.pb.h"

namespace grouper {

reward::v1::ScoreItem ScoreItemOf(const Prompt& prompt, const Completion& completion,
                                  const std::string& run_id);

// The SHA-256 (32 bytes) of the rubric and the item, without the run id.
std::string ScoreItemDigest(const Rubric& rubric, reward::v1::ScoreItem item);

}  // namespace grouper
