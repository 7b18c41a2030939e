#include "kernels/cpu/parallel.h"
#include "kernels/sampling/kept_set.h"
#include "kernels/sampling/token_log_probs.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

constexpr int64_t kRowGrain = 8;

GROUPER_INLINE real InverseTemperature(const SamplingRule& rule) {
  return static_cast<real>(1 / (rule.temperature == 0 ? 1.0 : rule.temperature));
}

}  // namespace

void TokenLogProbs(Stream& stream, const TokenLogProbsArgs& args) {
  const real inv = InverseTemperature(args.rule);
  ParallelRows(stream, args.logits.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Row row{args.logits.as<real>() + r * args.logits.row_stride, args.logits.shape[1], inv, {}};
      const int64_t target = args.targets.as<int32_t>()[r];
      const RowStats all = StatsOf(row);
      int32_t kept_size = 0;
      real log_prob = static_cast<real>(NAN);
      if (all.good && args.rule.temperature == 0) {
        log_prob = ZOf(row, target) == all.m ? real{0} : -INFINITY;
      } else if (all.good) {
        const Filtered kept = ApplyFilters(args.rule, all, &row);
        kept_size = kept.kept_size;
        log_prob = LogProb(row, kept.stats, target);
      }
      args.log_probs.as<real>()[r] = log_prob;
      args.entropies.as<real>()[r] = all.good ? all.entropy : static_cast<real>(NAN);
      if (!args.kept_sizes.empty()) args.kept_sizes.as<int32_t>()[r] = kept_size;
    }
  });
}

void TokenLogProbsBackward(Stream& stream, const TokenLogProbsBackwardArgs& args) {
  const real inv = InverseTemperature(args.rule);
  const int64_t vocab = args.logits.shape[1];
  ParallelRows(stream, args.logits.shape[0], kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Row row{args.logits.as<real>() + r * args.logits.row_stride, vocab, inv, {}};
      real* dlogits = args.dlogits.as<real>() + r * args.dlogits.row_stride;
      const real dlog = args.dlog_probs.as<real>()[r];
      const real dentropy = args.dentropies.empty() ? real{0} : args.dentropies.as<real>()[r];
      const int64_t target = args.targets.as<int32_t>()[r];
      const RowStats all = StatsOf(row);
      Row kept_row = row;
      const RowStats kept = all.good ? ApplyFilters(args.rule, all, &kept_row).stats : all;
      const real target_gradient = IsKept(kept_row.kept, ZOf(row, target), target) ? dlog : real{0};
      for (int64_t id = 0; id < vocab; id += kLanes) {
        const int64_t n = vocab - id;
        const Lanes z = LoadZ(row, id);
        const Lanes shifted = Sub(Sub(z, Set(all.m)), Set(all.log_s));
        const Lanes p = Exp(shifted);
        // d log p(target) = onehot - softmax over the kept set; d H = -p (log p + H).
        const Lanes q = args.rule.filtered()
                            ? Exp(Sub(Sub(LoadZ(kept_row, id), Set(kept.m)), Set(kept.log_s)))
                            : p;
        Lanes g = Mul(q, Set(-target_gradient));
        if (dentropy != 0) {
          const Lanes h = Mul(p, Add(shifted, Set(all.entropy)));
          const Lanes finite = Select(Less(Set(-INFINITY), z), h, Zero());
          g = Fma(finite, Set(-dentropy), g);
        }
        real part[kLanes];
        Store(part, g);
        if (target >= id && target < id + kLanes)
          part[target - id] = part[target - id] + target_gradient;
        StoreFirst(dlogits + id, Mul(Load(part), Set(inv)), n);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
