// The sets of ids that the filters of a sampling rule keep, as bits, so that another policy can be
// asked for its distribution over the same ids. A KL term compares the policy with its reference:
// the sampler drew from its own kept set S, and filters applied to the reference's logits would
// keep other ids and give a sampled one probability 0 (docs/algorithms.md 6).
#pragma once

#include "kernels/op.h"
#include "kernels/sampling/sampling_rule.h"

namespace grouper {

// Words of 32 ids each: id i is bit i % 32 of word i / 32. Bits behind the vocabulary are 0.
GROUPER_INLINE int64_t KeptSetWords(int64_t vocab) { return (vocab + 31) / 32; }

// The kept set of every row under the rule. A row whose logits are no distribution (NaN, +inf or
// only -inf) keeps all ids, so that what is wrong with it shows up in its log-probs.
struct KeptSetsArgs {
  Tensor logits;      // [rows, vocab]
  SamplingRule rule;  // has filters, temperature above 0
  Tensor sets;        // [rows, KeptSetWords(vocab)] int32 out
};
GROUPER_OP(KeptSets)

// Sets the logits of all ids outside a row's set to -inf. A softmax without filters then gives the
// distribution over the set, with the bits that filters with this very set would give.
struct MaskLogitsArgs {
  Tensor sets;    // [rows, KeptSetWords(vocab)] int32
  Tensor logits;  // [rows, vocab] in and out
};
GROUPER_OP(MaskLogits)

}  // namespace grouper
