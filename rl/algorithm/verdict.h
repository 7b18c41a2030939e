// What a score says about one answer. A pure function, any thread.
#pragma once

#include "proto/trace.pb.h"

namespace grouper {

// True when the score is SCORED with verdict CORRECT or AC and its accuracy component, if it has
// one, is above 0.
bool IsRight(const reward::v1::ScoreResult& score);

}  // namespace grouper
