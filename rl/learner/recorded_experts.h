// The experts that the sampler chose for each input token of a sequence, read from the record: one
// byte per id, [position][MoE layer][slot]. For a prompt of p and a completion of n tokens, the
// group holds positions 0 to p-2, which its completions share, and the completion holds positions
// p-1 to p+n-2 (proto/trace.proto).
#pragma once

#include <cstdint>

#include "rl/learner/batch.h"

namespace grouper {

class RecordedExperts {
 public:
  // per_token: the policy's MoE layers x slots. kInternal, naming the rollout, unless the record
  // holds that many ids for every input token. The messages of the sequence outlive this object.
  RecordedExperts(const TrainSequence& sequence, int64_t per_token);

  // The per_token ids of input token t.
  const uint8_t* At(int64_t t) const;

 private:
  int64_t per_token_, prompt_;
  const std::string *shared_, *own_;
};

}  // namespace grouper
