#include "kernels/sampling/kept_sets.h"

#include "kernels/dispatch.h"

namespace grouper {

void KeptSets(Stream& stream, const KeptSetsArgs& args) {
  CheckReal("[kept_sets] logits", args.logits);
  CheckSamplingRule(args.rule);
  CHECK(args.rule.filtered() && args.rule.temperature > 0,
        "[kept_sets] the rule must have a filter and a temperature above 0");
  CheckMatrix("[kept_sets] sets", args.sets, DType::kInt32, args.logits.dim(0),
              KeptSetWords(args.logits.dim(1)));
  GROUPER_DISPATCH(KeptSets, stream, args, args.logits.dtype);
}

void MaskLogits(Stream& stream, const MaskLogitsArgs& args) {
  CheckReal("[mask_logits] logits", args.logits);
  CheckMatrix("[mask_logits] sets", args.sets, DType::kInt32, args.logits.dim(0),
              KeptSetWords(args.logits.dim(1)));
  GROUPER_DISPATCH(MaskLogits, stream, args, args.logits.dtype);
}

}  // namespace grouper
