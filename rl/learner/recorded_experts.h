// The experts that the sampler chose for each input token of a sequence, read from the record:
// [position][MoE layer][slot]. For a prompt of p and a completion of n tokens, the
// group holds positions 0 to p-2, which its completions share, and the completion holds positions
// p-1 to p+n-2 (proto/trace.proto).
#pragma once

#include <cstdint>

#include "proto/expert_ids.h"
#include "rl/learner/batch.h"

namespace grouper {

class RecordedExperts {
 public:
  // per_token: the policy's MoE layers x slots. kInternal, naming the rollout, unless the record
  // holds that many ids for every input token. The messages of the sequence outlive this object.
  RecordedExperts(const TrainSequence& sequence, int64_t per_token);

  // Id i of the per_token ids of input token t.
  int32_t At(int64_t t, int64_t i) const {
    return t < prompt_ ? shared_[static_cast<size_t>(t * per_token_ + i)]
                       : own_[static_cast<size_t>((t - prompt_) * per_token_ + i)];
  }

 private:
  int64_t per_token_, prompt_;
  ExpertIds shared_, own_;
};

}  // namespace grouper
