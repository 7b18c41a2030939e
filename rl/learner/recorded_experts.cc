#include "rl/learner/recorded_experts.h"

#include "base/error.h"

namespace grouper {
namespace {

const TrainSequence& WithRecord(const TrainSequence& s) {
  CHECK(s.group != nullptr && s.completion != nullptr,
        "[recorded_experts] a sequence without a record has no experts to read",
        Named("rollout", s.rollout_id));
  return s;
}

}  // namespace

RecordedExperts::RecordedExperts(const TrainSequence& s, int64_t per_token)
    : per_token_(per_token),
      prompt_(s.input_tokens() - WithRecord(s).completion->ids_size()),
      shared_(s.group->prompt_experts(), s.group->expert_id_bytes()),
      own_(s.completion->experts(), s.completion->expert_id_bytes()) {
  const int64_t expected_prompt = prompt_ * per_token;
  const int64_t expected_own = s.completion->ids_size() * per_token;
  CHECK(static_cast<int64_t>(shared_.size()) == expected_prompt &&
            static_cast<int64_t>(own_.size()) == expected_own,
        "[recorded_experts] the record holds another number of experts than this policy chooses; "
        "replay it under the policy config that it was sampled under",
        Named("rollout", s.rollout_id), Named("prompt_ids", shared_.size()),
        Named("expected_prompt_ids", expected_prompt), Named("completion_ids", own_.size()),
        Named("expected_completion_ids", expected_own));
}

}  // namespace grouper
