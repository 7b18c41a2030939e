#include "rl/learner/packed_pass.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/sampling/token_log_probs.h"
#include "rl/learner/recorded_experts.h"

namespace grouper {
namespace {

void CopyReals(const Tensor& from, std::vector<float>* to) {
  to->resize(static_cast<size_t>(from.elements()));
  for (int64_t i = 0; i < from.elements(); ++i) {
    (*to)[static_cast<size_t>(i)] = from.dtype == DType::kFloat32
                                        ? from.as<float>()[i]
                                        : static_cast<float>(from.as<double>()[i]);
  }
}

void PutReals(std::span<const double> from, const Tensor& to) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (to.dtype == DType::kFloat32) {
      to.as<float>()[i] = static_cast<float>(from[i]);
    } else {
      to.as<double>()[i] = from[i];
    }
  }
}

}  // namespace

PackedPass::PackedPass(const Policy* policy, const Stream& stream)
    : policy_(policy), stream_(stream) {}

void PackedPass::BuildBatch(std::span<const TrainSequence> sequences) {
  arena_.Reset();
  token_offsets_.assign(1, 0);
  target_offsets_.assign(1, 0);
  int64_t blocks = 0, max_blocks = 1;
  for (const TrainSequence& s : sequences) {
    CHECK(s.input_tokens() >= 1, "[batch] a sequence needs at least two tokens",
          Named("rollout", s.rollout_id), Named("tokens", s.ids.size()));
    CHECK(s.input_tokens() <= policy_->config().max_positions(),
          "[batch] a sequence is longer than policy.max_positions", Named("rollout", s.rollout_id),
          Named("tokens", s.input_tokens()),
          Named("policy.max_positions", policy_->config().max_positions()));
    token_offsets_.push_back(token_offsets_.back() + static_cast<int32_t>(s.input_tokens()));
    target_offsets_.push_back(target_offsets_.back() + static_cast<int64_t>(s.targets.size()));
    const int64_t need = KvCache::BlocksFor(s.input_tokens());
    blocks += need;
    max_blocks = std::max(max_blocks, need);
  }
  if (cache_ == nullptr || cache_->blocks() < blocks) {
    const int64_t bytes = KvCache::BlockBytes(policy_->config(), policy_->dtype());
    cache_.reset();  // the old cache is freed before the new one is allocated
    cache_ = std::make_unique<KvCache>(policy_->config(), policy_->dtype(), blocks * bytes);
  }
  cache_->Clear();

  const int64_t tokens = token_offsets_.back(), rows = target_offsets_.back();
  const int64_t n = static_cast<int64_t>(sequences.size());
  batch_.given_experts.clear();
  batch_.ids = arena_.Vector("ids", DType::kInt32, tokens);
  batch_.positions = arena_.Vector("positions", DType::kInt32, tokens);
  batch_.sequence = arena_.Vector("sequence", DType::kInt32, tokens);
  batch_.block_table = arena_.Matrix("block_table", DType::kInt32, n, max_blocks);
  batch_.logit_rows = arena_.Vector("logit_rows", DType::kInt32, rows);
  sequence_offsets_ = arena_.Vector("sequence_offsets", DType::kInt32, n + 1);
  targets_ = arena_.Vector("targets", DType::kInt32, rows);
  std::copy(token_offsets_.begin(), token_offsets_.end(), sequence_offsets_.as<int32_t>());
  int64_t token = 0, row = 0;
  for (int64_t s = 0; s < n; ++s) {
    const TrainSequence& sequence = sequences[static_cast<size_t>(s)];
    for (int32_t target : sequence.targets) {
      batch_.logit_rows.as<int32_t>()[row] = static_cast<int32_t>(token) + target - 1;
      targets_.as<int32_t>()[row++] = sequence.ids[static_cast<size_t>(target)];
    }
    for (int64_t i = 0; i < sequence.input_tokens(); ++i, ++token) {
      batch_.ids.as<int32_t>()[token] = sequence.ids[static_cast<size_t>(i)];
      batch_.positions.as<int32_t>()[token] = static_cast<int32_t>(i);
      batch_.sequence.as<int32_t>()[token] = static_cast<int32_t>(s);
    }
    for (int64_t b = 0; b < KvCache::BlocksFor(sequence.input_tokens()); ++b) {
      batch_.block_table.as<int32_t>()[s * max_blocks + b] = cache_->Take();
    }
  }
}

void PackedPass::GiveRecordedExperts(std::span<const TrainSequence> sequences) {
  const int64_t layers = MoeLayers(policy_->config());
  if (layers == 0) return;
  const int64_t k = policy_->config().moe().experts_per_token();
  for (int64_t layer = 0; layer < layers; ++layer) {
    batch_.given_experts.push_back(
        arena_.Matrix("given_experts", DType::kInt32, token_offsets_.back(), k));
  }
  int64_t token = 0;
  for (const TrainSequence& s : sequences) {
    const RecordedExperts recorded(s, layers * k);
    for (int64_t i = 0; i < s.input_tokens(); ++i, ++token) {
      int64_t next = 0;
      for (const Tensor& given : batch_.given_experts) {
        for (int64_t slot = 0; slot < k; ++slot) {
          given.as<int32_t>()[token * k + slot] = recorded.At(i, next++);
        }
      }
    }
  }
}

void PackedPass::Forward(std::span<const TrainSequence> sequences, const SamplingRule& rule,
                         bool keep, Routing routing) {
  BuildBatch(sequences);
  if (routing == Routing::kReplay) GiveRecordedExperts(sequences);
  rule_ = rule;
  activations_.keep = keep;
  policy_->Forward(stream_, batch_, cache_.get(), &activations_);
  const int64_t rows = batch_.logit_rows.dim(0);
  const Tensor log_probs = arena_.Vector("log_probs", policy_->dtype(), rows);
  const Tensor entropies = arena_.Vector("entropies", policy_->dtype(), rows);
  kept_sizes_ = arena_.Vector("kept_sizes", DType::kInt32, rows);
  TokenLogProbs(stream_, {.logits = activations_.logits,
                          .targets = targets_,
                          .rule = rule,
                          .log_probs = log_probs,
                          .entropies = entropies,
                          .kept_sizes = kept_sizes_});
  CopyReals(log_probs, &log_probs_);
  CopyReals(entropies, &entropies_);
}

void PackedPass::Backward(std::span<const double> dlog_probs, std::span<const double> dentropies,
                          const PolicyTensors& grads) {
  const int64_t rows = batch_.logit_rows.dim(0);
  CHECK(static_cast<int64_t>(dlog_probs.size()) == rows,
        "[learner] the pass needs one gradient per target", Named("gradients", dlog_probs.size()),
        Named("targets", rows));
  const Tensor dlog = arena_.Vector("dlog_probs", policy_->dtype(), rows);
  PutReals(dlog_probs, dlog);
  Tensor dentropy;
  if (!dentropies.empty()) {
    dentropy = arena_.Vector("dentropies", policy_->dtype(), rows);
    PutReals(dentropies, dentropy);
  }
  TokenLogProbsBackward(stream_, {.logits = activations_.logits,
                                  .targets = targets_,
                                  .rule = rule_,
                                  .dlog_probs = dlog,
                                  .dentropies = dentropy,
                                  .dlogits = activations_.logits});
  policy_->Backward(stream_, batch_, sequence_offsets_, *cache_, activations_.logits, &activations_,
                    grads);
}

}  // namespace grouper
