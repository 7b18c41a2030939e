#include "kernels/sampling/token_log_probs.h"

#include "kernels/cpu/check_values.h"
#include "kernels/dispatch.h"

namespace grouper {

void TokenLogProbs(Stream& stream, const TokenLogProbsArgs& args) {
  CheckReal("[token_log_probs] logits", args.logits);
  const DType dtype = args.logits.dtype;
  const int64_t rows = args.logits.dim(0);
  CheckSamplingRule(args.rule);
  CheckVector("[token_log_probs] targets", args.targets, DType::kInt32, rows);
  CheckVector("[token_log_probs] log_probs", args.log_probs, dtype, rows);
  CheckVector("[token_log_probs] entropies", args.entropies, dtype, rows);
  if (!args.kept_sizes.empty()) {
    CheckVector("[token_log_probs] kept_sizes", args.kept_sizes, DType::kInt32, rows);
  }
  GROUPER_DISPATCH(TokenLogProbs, stream, args, dtype,
                   cpu::CheckIds("[token_log_probs] targets", args.targets, args.logits.dim(1)));
}

void TokenLogProbsBackward(Stream& stream, const TokenLogProbsBackwardArgs& args) {
  CheckReal("[token_log_probs_backward] logits", args.logits);
  const DType dtype = args.logits.dtype;
  const int64_t rows = args.logits.dim(0), vocab = args.logits.dim(1);
  CheckSamplingRule(args.rule);
  CHECK(args.rule.temperature > 0,
        "[token_log_probs_backward] temperature 0 (arg max) has no gradient");
  CheckVector("[token_log_probs_backward] targets", args.targets, DType::kInt32, rows);
  CheckVector("[token_log_probs_backward] dlog_probs", args.dlog_probs, dtype, rows);
  if (!args.dentropies.empty()) {
    CheckVector("[token_log_probs_backward] dentropies", args.dentropies, dtype, rows);
  }
  CheckMatrix("[token_log_probs_backward] dlogits", args.dlogits, dtype, rows, vocab);
  GROUPER_DISPATCH(TokenLogProbsBackward, stream, args, dtype,
                   cpu::CheckIds("[token_log_probs_backward] targets", args.targets, vocab));
}

}  // namespace grouper
