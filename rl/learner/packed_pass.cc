#include "rl/learner/packed_pass.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "kernels/sampling/kept_sets.h"
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

int64_t PackedPass::tokens() const {
  int64_t sum = 0;
  for (const ComputedTokens& c : computed_) sum += c.tokens;
  return sum;
}

void PackedPass::CheckSequences(std::span<const TrainSequence> sequences) {
  target_offsets_.assign(1, 0);
  for (const TrainSequence& s : sequences) {
    CHECK(s.input_tokens() >= 1, "[batch] a sequence needs at least two tokens",
          Named("rollout", s.rollout_id), Named("tokens", s.ids.size()));
    CHECK(s.input_tokens() <= policy_->config().max_positions(),
          "[batch] a sequence is longer than policy.max_positions", Named("rollout", s.rollout_id),
          Named("tokens", s.input_tokens()),
          Named("policy.max_positions", policy_->config().max_positions()));
    CHECK(s.shared_tokens >= 0 && s.own_tokens() >= 1 &&
              (s.targets.empty() || s.targets.front() > s.shared_tokens),
          "[batch] a target lies in the tokens that sequences share",
          Named("rollout", s.rollout_id), Named("shared_tokens", s.shared_tokens));
    target_offsets_.push_back(target_offsets_.back() + static_cast<int64_t>(s.targets.size()));
  }
}

// Empties the KV cache, which then has at least so many blocks.
void PackedPass::MakeRoom(int64_t blocks) {
  if (cache_ == nullptr || cache_->blocks() < blocks) {
    const int64_t bytes = KvCache::BlockBytes(policy_->config(), policy_->dtype());
    cache_.reset();  // the old cache is freed before the new one is allocated
    cache_ = std::make_unique<KvCache>(policy_->config(), policy_->dtype(), blocks * bytes);
  }
  cache_->Clear();
  prompt_.pieces.clear();
  prompt_group_ = nullptr;
  part_blocks_.clear();
}

// The blocks of a sequence that begins with shared ones.
std::vector<int32_t> PackedPass::TakeBlocks(int64_t positions, std::span<const int32_t> shared) {
  std::vector<int32_t> blocks(shared.begin(), shared.end());
  while (static_cast<int64_t>(blocks.size()) < KvCache::BlocksFor(positions)) {
    blocks.push_back(cache_->Take());
    part_blocks_.push_back(blocks.back());
    CHECK(blocks.back() >= 0, "[batch] the learner's KV cache is too small for its micro-batch",
          Named("blocks", cache_->blocks()));
  }
  return blocks;
}

// The completions of a group, which share the full blocks of their prompt and get copies of the
// last, partly filled one.
void PackedPass::AddFamily(std::span<const TrainSequence> family, int32_t prefix,
                           std::span<const int32_t> prompt_blocks) {
  const int64_t shared = family.front().shared_tokens;
  const size_t full = static_cast<size_t>(shared / numerics::kKeyBlock);
  for (const TrainSequence& s : family) {
    std::vector<int32_t> blocks = TakeBlocks(s.input_tokens(), prompt_blocks.first(full));
    if (shared % numerics::kKeyBlock != 0) {
      copy_from_.push_back(prompt_blocks[full]);
      copy_to_.push_back(blocks[full]);
      copy_counts_.push_back(static_cast<int32_t>(shared % numerics::kKeyBlock));
    }
    rows_.pieces.push_back({&s, shared, s.own_tokens(), false, prefix, std::move(blocks)});
  }
}

void PackedPass::AddWholeGroups(std::span<const TrainSequence> sequences) {
  int64_t blocks = 0;
  for (auto rest = sequences; !rest.empty(); rest = rest.subspan(FamilySize(rest))) {
    const int64_t shared = rest.front().shared_tokens;
    blocks += KvCache::BlocksFor(shared);
    for (const TrainSequence& s : rest.first(FamilySize(rest))) {
      blocks += KvCache::BlocksFor(s.input_tokens()) - shared / numerics::kKeyBlock;
    }
  }
  MakeRoom(blocks);
  int64_t prefix_rows = 0;
  for (auto rest = sequences; !rest.empty(); rest = rest.subspan(FamilySize(rest))) {
    const TrainSequence& first = rest.front();
    const bool shares = first.shared_tokens > 0;
    const int32_t prefix = shares ? static_cast<int32_t>(prefix_rows) : -1;
    std::vector<int32_t> prompt = TakeBlocks(first.shared_tokens, {});
    AddFamily(rest.first(FamilySize(rest)), prefix, prompt);
    if (shares) {
      rows_.pieces.push_back({&first, 0, first.shared_tokens, true, prefix, std::move(prompt)});
    }
    prefix_rows += first.shared_tokens;
  }
  StartPrefixGradients(rows_.activations.keep ? prefix_rows : 0);
}

void PackedPass::AddPart(std::span<const TrainSequence> sequences, const GroupPart& part) {
  const TrainSequence& first = sequences.front();
  CHECK(first.shared_tokens > 0 && FamilySize(sequences) == sequences.size(),
        "[batch] a part of a group must hold sequences that share a prompt",
        Named("rollout", first.rollout_id));
  if (part.opens) {
    MakeRoom(part.blocks);
    prompt_.pieces.push_back(
        {&first, 0, first.shared_tokens, true, 0, TakeBlocks(first.shared_tokens, {})});
    prompt_group_ = first.group;
    part_blocks_.clear();  // the prompt's blocks stay for the other parts
    StartPrefixGradients(rows_.activations.keep ? first.shared_tokens : 0);
  }
  CHECK(prompt_group_ == first.group,
        "[batch] a part of a group came without the group's first part",
        Named("rollout", first.rollout_id));
  for (int32_t block : part_blocks_) cache_->Release(block);
  part_blocks_.clear();
  AddFamily(sequences, 0, prompt_.pieces[0].blocks);
}

void PackedPass::StartPrefixGradients(int64_t rows) {
  prefix_arena_.Reset();
  prefix_gradients_.clear();
  if (rows == 0) return;
  for (int64_t layer = 0; layer < policy_->config().layers(); ++layer) {
    const Tensor gradient = prefix_arena_.Matrix("prefix gradient", policy_->dtype(), rows,
                                                 2 * KvWidth(policy_->config()));
    std::memset(gradient.data, 0,
                static_cast<size_t>(gradient.elements()) * SizeOf(gradient.dtype));
    prefix_gradients_.push_back(gradient);
  }
}

void PackedPass::Fill(Rows* rows, Routing routing) {
  int64_t tokens = 0, targets = 0;
  size_t max_blocks = 1;
  for (const Piece& piece : rows->pieces) {
    tokens += piece.tokens;
    targets += piece.prompt ? 0 : static_cast<int64_t>(piece.sequence->targets.size());
    max_blocks = std::max(max_blocks, piece.blocks.size());
  }
  const int64_t n = static_cast<int64_t>(rows->pieces.size());
  Arena& arena = rows->arena;
  arena.Reset();
  const auto ints = [&](std::string_view name, int64_t count) {
    return arena.Vector(name, DType::kInt32, count);
  };
  rows->batch = {.ids = ints("ids", tokens),
                 .positions = ints("positions", tokens),
                 .sequence = ints("sequence", tokens),
                 .block_table = arena.Matrix("block_table", DType::kInt32, n,
                                             static_cast<int64_t>(max_blocks)),
                 .logit_rows = ints("logit_rows", targets)};
  rows->sequences = {.offsets = ints("sequence_offsets", n + 1),
                     .first_positions = ints("first_positions", n),
                     .prefixes = ints("prefixes", n)};
  rows->targets = ints("targets", targets);
  const TokenBatch& batch = rows->batch;
  int64_t row = 0, target_row = 0;
  for (int64_t s = 0; s < n; ++s) {
    const Piece& piece = rows->pieces[static_cast<size_t>(s)];
    const std::vector<int32_t>& ids = piece.sequence->ids;
    rows->sequences.offsets.as<int32_t>()[s] = static_cast<int32_t>(row);
    rows->sequences.first_positions.as<int32_t>()[s] = static_cast<int32_t>(piece.first);
    rows->sequences.prefixes.as<int32_t>()[s] = piece.prefix;
    std::copy(piece.blocks.begin(), piece.blocks.end(),
              batch.block_table.as<int32_t>() + s * static_cast<int64_t>(max_blocks));
    for (int32_t target : piece.sequence->targets) {
      if (piece.prompt) break;
      batch.logit_rows.as<int32_t>()[target_row] =
          static_cast<int32_t>(row + target - 1 - piece.first);
      rows->targets.as<int32_t>()[target_row++] = ids[static_cast<size_t>(target)];
    }
    for (int64_t i = 0; i < piece.tokens; ++i, ++row) {
      const int64_t position = piece.first + i;
      batch.ids.as<int32_t>()[row] = ids[static_cast<size_t>(position)];
      batch.positions.as<int32_t>()[row] = static_cast<int32_t>(position);
      batch.sequence.as<int32_t>()[row] = static_cast<int32_t>(s);
    }
  }
  rows->sequences.offsets.as<int32_t>()[n] = static_cast<int32_t>(row);
  if (routing == Routing::kReplay) GiveRecordedExperts(rows);
}

void PackedPass::GiveRecordedExperts(Rows* rows) {
  const int64_t layers = MoeLayers(policy_->config());
  if (layers == 0) return;
  const int64_t k = policy_->config().moe().experts_per_token();
  std::vector<Tensor>& all = rows->batch.given_experts;
  for (int64_t layer = 0; layer < layers; ++layer) {
    all.push_back(rows->arena.Matrix("given_experts", DType::kInt32, rows->batch.ids.dim(0), k));
  }
  int64_t row = 0;
  for (const Piece& piece : rows->pieces) {
    const RecordedExperts recorded(*piece.sequence, layers * k);
    for (int64_t i = 0; i < piece.tokens; ++i, ++row) {
      int64_t next = 0;
      for (const Tensor& given : all) {
        for (int64_t slot = 0; slot < k; ++slot) {
          given.as<int32_t>()[row * k + slot] = recorded.At(piece.first + i, next++);
        }
      }
    }
  }
}

void PackedPass::Run(Rows* rows, bool keep, Routing routing) {
  Fill(rows, routing);
  if (rows == &rows_ && !copy_from_.empty()) {
    const auto ints = [&](const std::vector<int32_t>& values) {
      const Tensor t =
          rows->arena.Vector("copies", DType::kInt32, static_cast<int64_t>(values.size()));
      std::copy(values.begin(), values.end(), t.as<int32_t>());
      return t;
    };
    rows->batch.copy_from = ints(copy_from_);
    rows->batch.copy_to = ints(copy_to_);
    rows->batch.copy_counts = ints(copy_counts_);
  }
  rows->sequences.prefix_gradients = prefix_gradients_;
  rows->activations.keep = keep;
  policy_->Forward(stream_, rows->batch, cache_.get(), &rows->activations);
  for (size_t i = 0; i < rows->pieces.size(); ++i) {
    const Piece& piece = rows->pieces[i];
    computed_.push_back({piece.sequence, piece.first, piece.tokens, &rows->activations,
                         rows->sequences.offsets.as<int32_t>()[i]});
  }
}

void PackedPass::Forward(std::span<const TrainSequence> sequences, const SamplingRule& rule,
                         bool keep, Routing routing, const std::optional<GroupPart>& part,
                         const Tensor& kept_sets) {
  CheckSequences(sequences);
  rule_ = kept_sets.empty() ? rule : SamplingRule{.temperature = rule.temperature};
  part_ = part;
  computed_.clear();
  rows_.pieces.clear();
  rows_.activations.keep = keep;
  for (std::vector<int32_t>* copies : {&copy_from_, &copy_to_, &copy_counts_}) copies->clear();
  if (part) {
    AddPart(sequences, *part);
    if (part->opens) Run(&prompt_, keep, routing);
  } else {
    AddWholeGroups(sequences);
  }
  Run(&rows_, keep, routing);
  if (!kept_sets.empty()) {
    MaskLogits(stream_, {.sets = kept_sets, .logits = rows_.activations.logits});
  }
  const int64_t rows = rows_.batch.logit_rows.dim(0);
  const Tensor log_probs = rows_.arena.Vector("log_probs", policy_->dtype(), rows);
  const Tensor entropies = rows_.arena.Vector("entropies", policy_->dtype(), rows);
  kept_sizes_ = rows_.arena.Vector("kept_sizes", DType::kInt32, rows);
  TokenLogProbs(stream_, {.logits = rows_.activations.logits,
                          .targets = rows_.targets,
                          .rule = rule_,
                          .log_probs = log_probs,
                          .entropies = entropies,
                          .kept_sizes = kept_sizes_});
  CopyReals(log_probs, &log_probs_);
  CopyReals(entropies, &entropies_);
}

Tensor PackedPass::FindKeptSets() {
  if (!rule_.filtered()) return {};
  const Tensor& logits = rows_.activations.logits;
  const Tensor sets = rows_.arena.Matrix("kept_sets", DType::kInt32, logits.dim(0),
                                         KeptSetWords(policy_->config().vocab_size()));
  KeptSets(stream_, {.logits = logits, .rule = rule_, .sets = sets});
  return sets;
}

void PackedPass::Backward(std::span<const double> dlog_probs, std::span<const double> dentropies,
                          const PolicyTensors& grads) {
  const int64_t rows = rows_.batch.logit_rows.dim(0);
  CHECK(static_cast<int64_t>(dlog_probs.size()) == rows,
        "[learner] the pass needs one gradient per target", Named("gradients", dlog_probs.size()),
        Named("targets", rows));
  const Tensor dlog = rows_.arena.Vector("dlog_probs", policy_->dtype(), rows);
  PutReals(dlog_probs, dlog);
  Tensor dentropy;
  if (!dentropies.empty()) {
    dentropy = rows_.arena.Vector("dentropies", policy_->dtype(), rows);
    PutReals(dentropies, dentropy);
  }
  TokenLogProbsBackward(stream_, {.logits = rows_.activations.logits,
                                  .targets = rows_.targets,
                                  .rule = rule_,
                                  .dlog_probs = dlog,
                                  .dentropies = dentropy,
                                  .dlogits = rows_.activations.logits});
  policy_->Backward(stream_, rows_.batch, rows_.sequences, *cache_, rows_.activations.logits,
                    &rows_.activations, grads);
  if (!part_ || !part_->ends) return;
  policy_->Backward(stream_, prompt_.batch, prompt_.sequences, *cache_, prompt_.activations.logits,
                    &prompt_.activations, grads);
}

}  // namespace grouper
