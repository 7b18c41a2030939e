// The experts that the sampler chose for each input token of a sequence, read from the record: one
// byte an id, [position][MoE layer][slot]. Positions 0 .. p-2 stand in the group, shared by its
// completions, p-1 .. p+n-2 in the completion (proto/trace.proto).
#pragma once

#include <cstdint>

#include "rl/learner/batch.h"

namespace grouper {

class RecordedExperts {
 public:
  // per_token: MoE layers x slots of the policy. kInternal, naming the rollout, unless the record
  // holds that many for every input token. The sequence's messages outlive this.
  RecordedExperts(const TrainSequence& sequence, int64_t per_token);

  // per_token ids of input token t.
  const uint8_t* At(int64_t t) const;

 private:
  int64_t per_token_, prompt_;
  const std::string *shared_, *own_;
};

}  // namespace grouper
