// The tail of a rollout, when one long completion remains: seconds of a decoded token at a position
// of about 8,192, and of an update on one such sequence.
#pragma once

#include "bench/policy_speed.h"

namespace grouper::bench {

// Medians, in seconds.
struct TailStep {
  double token = 0;   // decoded
  double update = 0;  // forward, backward and AdamW on one sequence
};
TailStep MeasureTail(const PolicyCase& policy, int rounds, Stream& stream);

}  // namespace grouper::bench
