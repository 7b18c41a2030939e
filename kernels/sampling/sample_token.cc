#include "kernels/sampling/sample_token.h"

#include "kernels/dispatch.h"

namespace grouper {

void CheckSamplingRule(const SamplingRule& rule) {
  CHECK(rule.temperature >= 0 && rule.temperature <= 1e6,
        "[sampling] temperature must be from 0 to 1e6", Named("temperature", rule.temperature));
  CHECK(rule.top_k >= 0, "[sampling] top_k must not be negative", Named("top_k", rule.top_k));
  CHECK(rule.top_p > 0 && rule.top_p <= 1, "[sampling] top_p must be above 0 and at most 1",
        Named("top_p", rule.top_p));
  CHECK(rule.min_p >= 0 && rule.min_p <= 1, "[sampling] min_p must be from 0 to 1",
        Named("min_p", rule.min_p));
}

void SampleToken(Stream& stream, const SampleTokenArgs& args) {
  CheckReal("[sample_token] logits", args.logits);
  const DType dtype = args.logits.dtype;
  const int64_t rows = args.logits.dim(0);
  CheckSamplingRule(args.rule);
  CHECK(args.logits.dim(1) >= 1, "[sample_token] the vocabulary is empty");
  CheckVector("[sample_token] rollout_ids", args.rollout_ids, DType::kUint64, rows);
  CheckVector("[sample_token] positions", args.positions, DType::kInt32, rows);
  CheckVector("[sample_token] tokens", args.tokens, DType::kInt32, rows);
  CheckVector("[sample_token] log_probs", args.log_probs, dtype, rows);
  CheckVector("[sample_token] entropies", args.entropies, dtype, rows);
  if (!args.kept_sizes.empty()) {
    CheckVector("[sample_token] kept_sizes", args.kept_sizes, DType::kInt32, rows);
  }
  if (!args.raw_log_probs.empty()) {
    CheckVector("[sample_token] raw_log_probs", args.raw_log_probs, dtype, rows);
  }
  GROUPER_DISPATCH(SampleToken, stream, args, dtype);
}

}  // namespace grouper
