#include "kernels/cpu/parallel.h"
#include "kernels/sampling/kept_set.h"
#include "kernels/sampling/kept_sets.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kRowGrain = 8;
constexpr int64_t kWordIds = 32;

// Bits of 16 ids from id on; an id with a logit of -inf is in no set.
GROUPER_INLINE uint32_t KeptBits(const Row& row, int64_t id) {
  if (id >= row.vocab) return 0;
  return Bits(Less(Set(-INFINITY), LoadZ(row, id)));
}
GROUPER_INLINE uint32_t AllBits(int64_t ids) {
  return ids >= kWordIds ? ~uint32_t{0} : (uint32_t{1} << ids) - 1;
}

}  // namespace

void KeptSets(Stream& stream, const KeptSetsArgs& args) {
  const real inv = static_cast<real>(1 / args.rule.temperature);
  const int64_t vocab = args.logits.shape[1];
  ParallelRows(stream, args.logits.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Row row{args.logits.as<real>() + r * args.logits.row_stride, vocab, inv, {}};
      int32_t* words = args.sets.as<int32_t>() + r * args.sets.row_stride;
      const RowStats all = StatsOf(row);
      if (all.good) ApplyFilters(args.rule, all, &row);
      for (int64_t id = 0; id < vocab; id += kWordIds) {
        const uint32_t bits = all.good ? KeptBits(row, id) | KeptBits(row, id + kLanes) << kLanes
                                       : AllBits(vocab - id);
        words[id / kWordIds] = static_cast<int32_t>(bits);
      }
    }
  });
}

void MaskLogits(Stream& stream, const MaskLogitsArgs& args) {
  const int64_t vocab = args.logits.shape[1];
  ParallelRows(stream, args.logits.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      real* logits = args.logits.as<real>() + r * args.logits.row_stride;
      const int32_t* words = args.sets.as<int32_t>() + r * args.sets.row_stride;
      for (int64_t id = 0; id < vocab; ++id) {
        const uint32_t word = static_cast<uint32_t>(words[id / kWordIds]);
        if ((word >> (id % kWordIds) & 1) == 0) logits[id] = -INFINITY;
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
