#include "rl/learner/recorded_experts.h"

#include "base/error.h"

namespace grouper {

RecordedExperts::RecordedExperts(const TrainSequence& s, int64_t per_token)
    : per_token_(per_token) {
  CHECK(s.group != nullptr && s.completion != nullptr,
        "[recorded_experts] a sequence without a record has no experts to read",
        Named("rollout", s.rollout_id));
  shared_ = &s.group->prompt_experts();
  own_ = &s.completion->experts();
  prompt_ = s.input_tokens() - s.completion->ids_size();
  CHECK(static_cast<int64_t>(shared_->size()) == prompt_ * per_token &&
            static_cast<int64_t>(own_->size()) == s.completion->ids_size() * per_token,
        "[recorded_experts] the record holds another number of experts than this policy chooses; "
        "replay it under the policy config that it was sampled under",
        Named("rollout", s.rollout_id), Named("prompt_bytes", shared_->size()),
        Named("expected_prompt_bytes", prompt_ * per_token),
        Named("completion_bytes", own_->size()),
        Named("expected_completion_bytes", s.completion->ids_size() * per_token));
}

const uint8_t* RecordedExperts::At(int64_t t) const {
  const char* ids =
      t < prompt_ ? shared_->data() + t * per_token_ : own_->data() + (t - prompt_) * per_token_;
  return reinterpret_cast<const uint8_t*>(ids);
}

}  // namespace grouper
