#include "rollout/engine/engine.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/sampling/sample_token.h"
#include "proto/expert_ids.h"

namespace grouper {

// The part of a step that one thread runs.
struct Engine::Slice {
  // What the policy and the sampler read of the items.
  struct Input {
    TokenBatch batch;
    Tensor rollout_ids, draw_positions;  // one row per item that samples
  };
  Input Prepare();  // in the arena

  std::vector<WorkItem> items;
  Activations activations{"rollout"};
  Arena arena{"rollout batch"};
  Tensor sampled, log_probs, entropies, kept_sizes;  // one row per item that samples
};

Engine::Engine(const Policy& policy, const Tokenizer& tokenizer, const RolloutConfig& config,
               const Stream& stream)
    : policy_(policy),
      tokenizer_(tokenizer),
      config_(config),
      stream_(stream),
      cache_(policy.config(), policy.dtype(), config.kv_cache_bytes()) {
  const int threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  for (int i = 0; i < threads; ++i) slices_.push_back(std::make_unique<Slice>());
}

Engine::~Engine() = default;

namespace {

void FillInts(const Tensor& tensor, int64_t begin, std::span<const int32_t> values) {
  std::copy(values.begin(), values.end(), tensor.as<int32_t>() + begin);
}

}  // namespace

Engine::Slice::Input Engine::Slice::Prepare() {
  int64_t tokens = 0, rows = 0, max_blocks = 1;
  for (const WorkItem& item : items) {
    tokens += item.count;
    rows += item.samples ? 1 : 0;
    max_blocks = std::max(max_blocks, static_cast<int64_t>(item.kv().blocks.size()));
  }
  const int64_t sequences = static_cast<int64_t>(items.size());
  Input input;
  TokenBatch& batch = input.batch;
  batch.ids = arena.Vector("ids", DType::kInt32, tokens);
  batch.positions = arena.Vector("positions", DType::kInt32, tokens);
  batch.sequence = arena.Vector("sequence", DType::kInt32, tokens);
  batch.block_table = arena.Matrix("block_table", DType::kInt32, sequences, max_blocks);
  batch.logit_rows = arena.Vector("logit_rows", DType::kInt32, rows);
  input.rollout_ids = arena.Vector("rollout_ids", DType::kUint64, rows);
  input.draw_positions = arena.Vector("draw_positions", DType::kInt32, rows);
  int64_t token = 0, row = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const WorkItem& item = items[static_cast<size_t>(s)];
    FillInts(batch.block_table, s * max_blocks, item.kv().blocks);
    FillInts(batch.ids, token,
             std::span(item.ids())
                 .subspan(static_cast<size_t>(item.begin), static_cast<size_t>(item.count)));
    for (int64_t i = 0; i < item.count; ++i) {
      batch.positions.as<int32_t>()[token + i] = static_cast<int32_t>(item.begin + i);
      batch.sequence.as<int32_t>()[token + i] = static_cast<int32_t>(s);
    }
    token += item.count;
    if (!item.samples) continue;
    batch.logit_rows.as<int32_t>()[row] = static_cast<int32_t>(token - 1);
    input.rollout_ids.as<uint64_t>()[row] = item.sequence->rollout_id;
    input.draw_positions.as<int32_t>()[row] = static_cast<int32_t>(item.ids().size());
    ++row;
  }
  return input;
}

void Engine::RunSlice(const GenerateOptions& options, Stream stream, Slice* slice) {
  Arena& arena = slice->arena;
  arena.Reset();
  const Slice::Input input = slice->Prepare();
  const int64_t rows = input.batch.logit_rows.dim(0);
  slice->sampled = arena.Vector("sampled", DType::kInt32, rows);
  slice->log_probs = arena.Vector("log_probs", policy_.dtype(), rows);
  slice->entropies = arena.Vector("entropies", policy_.dtype(), rows);
  slice->kept_sizes = arena.Vector("kept_sizes", DType::kInt32, rows);

  policy_.Forward(stream, input.batch, &cache_, &slice->activations);
  if (rows == 0) return;
  SampleToken(stream, {.logits = slice->activations.logits,
                       .rollout_ids = input.rollout_ids,
                       .positions = input.draw_positions,
                       .seed = options.seed,
                       .stream_id = options.stream_id,
                       .rule = options.rule,
                       .tokens = slice->sampled,
                       .log_probs = slice->log_probs,
                       .raw_log_probs = {},
                       .entropies = slice->entropies,
                       .kept_sizes = slice->kept_sizes});
}

void Engine::AcceptToken(const GenerateOptions& options, Sequence* sequence, int32_t token,
                         float log_prob, float entropy, Scheduler* scheduler) {
  const int64_t drawn =
      static_cast<int64_t>(sequence->ids.size() - sequence->group->prompt_ids.size());
  if (token < 0) {
    ThrowInternal(
        "[rollout] the logits are not finite; the weights are damaged or the learning rate "
        "is too high",
        Named("rollout_id", sequence->rollout_id), Named("position", sequence->ids.size()));
  }
  Completion* completion = sequence->completion;
  completion->add_ids(static_cast<uint32_t>(token));
  completion->add_rollout_log_probs(log_prob);
  completion->add_entropies(entropy);
  sequence->ids.push_back(token);
  ++stats_.sampled_tokens;
  const bool stop =
      token == tokenizer_.eos() ||
      std::find(options.stop_ids.begin(), options.stop_ids.end(), token) != options.stop_ids.end();
  // Any other stop token is part of the answer: without </answer> no grader would find the tag
  // closed.
  if (token != tokenizer_.eos()) completion->mutable_text()->append(tokenizer_.Bytes(token));
  completion->add_text_ends(static_cast<uint32_t>(completion->text().size()));
  if (options.on_token) options.on_token(*completion);
  if (!stop && drawn + 1 < options.max_new_tokens) return;
  completion->set_finish_reason(stop ? Completion::STOP : Completion::LENGTH);
  PolicySpan* span = completion->add_spans();
  span->set_end(static_cast<uint32_t>(completion->ids_size()));
  span->set_policy_version(options.policy_version);
  span->set_weights_digest(options.weights_digest);
  span->set_sampled(true);
  GroupState* group = sequence->group;
  scheduler->Finish(sequence);
  if (--group->unfinished == 0 && options.on_group) options.on_group(group->place, *group->group);
}

// Experts of `count` tokens from row `first`: [token][MoE layer][slot].
static void AppendExperts(const Activations& acts, int64_t first, int64_t count, uint32_t id_bytes,
                          std::string* out) {
  for (int64_t t = first; t < first + count; ++t) {
    for (const LayerActivations& layer : acts.layers) {
      if (layer.experts.empty()) continue;
      const int64_t k = layer.experts.shape[1];
      const int32_t* ids = layer.experts.as<int32_t>() + t * k;
      for (int64_t slot = 0; slot < k; ++slot) AppendExpertId(ids[slot], id_bytes, out);
    }
  }
}

void Engine::Accept(const GenerateOptions& options, const Slice& slice, Scheduler* scheduler) {
  const uint32_t id_bytes = ExpertIdBytes(policy_.config().moe().experts());
  int64_t token = 0, row = 0;
  for (const WorkItem& item : slice.items) {
    item.kv().cached = item.begin + item.count;
    if (item.prefix != nullptr) {
      // A prompt that was dropped and computed again writes the same bytes again.
      std::string* experts = item.prefix->group->mutable_prompt_experts();
      if (item.begin == 0) experts->clear();
      AppendExperts(slice.activations, token, item.count, id_bytes, experts);
    } else if (item.samples) {
      AppendExperts(slice.activations, token + item.count - 1, 1, id_bytes,
                    item.sequence->completion->mutable_experts());
      const auto real = [&](const Tensor& t) {
        return t.dtype == DType::kFloat32 ? t.as<float>()[row]
                                          : static_cast<float>(t.as<double>()[row]);
      };
      if (options.rule.filtered()) {
        item.sequence->completion->add_kept_sizes(
            static_cast<uint32_t>(slice.kept_sizes.as<int32_t>()[row]));
      }
      AcceptToken(options, item.sequence, slice.sampled.as<int32_t>()[row], real(slice.log_probs),
                  real(slice.entropies), scheduler);
      ++row;
    }
    token += item.count;
  }
}

void Engine::RunStep(const GenerateOptions& options, const std::vector<WorkItem>& items) {
  const int64_t slices = static_cast<int64_t>(slices_.size());
  int64_t tokens = 0, largest = 0;
  for (const WorkItem& item : items) {
    tokens += item.count;
    largest = std::max(largest, item.count);
  }
  stats_.forwarded_tokens += tokens;
  for (const auto& slice : slices_) slice->items.clear();
  if (slices > 1 && largest * slices > tokens) {
    slices_[0]->items = items;
    RunSlice(options, stream_, slices_[0].get());
    return;
  }
  // Consecutive shares of about equal token counts.
  size_t next = 0;
  int64_t given = 0;
  for (int64_t i = 0; i < slices; ++i) {
    std::vector<WorkItem>& share = slices_[static_cast<size_t>(i)]->items;
    while (next < items.size() && given < tokens * (i + 1) / slices) {
      given += items[next].count;
      share.push_back(items[next++]);
    }
  }
  cpu::ParallelFor(stream_, slices, [&](int64_t i) {
    Slice* slice = slices_[static_cast<size_t>(i)].get();
    if (!slice->items.empty()) RunSlice(options, {stream_.isa, nullptr}, slice);
  });
}

std::vector<GroupState> Engine::StartGroups(std::span<const Prompt> prompts,
                                            const GenerateOptions& options,
                                            std::vector<Group>* groups) const {
  groups->assign(prompts.size(), {});
  std::vector<GroupState> states(prompts.size());
  const bool wide = ExpertIdBytes(policy_.config().moe().experts()) > 1;
  int64_t longest = 1;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Prompt& prompt = prompts[i];
    Group& group = (*groups)[i];
    *group.mutable_prompt() = prompt;
    if (wide) group.set_expert_id_bytes(2);
    const int64_t length = prompt.ids_size() + options.max_new_tokens;
    USER_CHECK(prompt.ids_size() >= 1,
               "[rollout] the prompt is empty, so nothing can be sampled from it; correct the row",
               Named("task_id", prompt.task_id()));
    USER_CHECK(
        length <= policy_.config().max_positions(),
        "[rollout] prompt and sampling.max_new_tokens exceed policy.max_positions; raise it or "
        "set data.on_bad=SKIP",
        Named("task_id", prompt.task_id()), Named("tokens_needed", length),
        Named("policy.max_positions", policy_.config().max_positions()));
    longest = std::max(longest, length);
    for (int64_t member = 0; member < options.group_size; ++member) {
      Completion* completion = group.add_completions();
      completion->set_rollout_id(prompt.ordinal() * static_cast<uint64_t>(options.group_size) +
                                 static_cast<uint64_t>(member));
      completion->set_index(static_cast<uint32_t>(member));
      if (wide) completion->set_expert_id_bytes(2);
    }
    states[i].group = &group;
    states[i].place = i;
    states[i].unfinished = static_cast<int>(options.group_size);
    states[i].prompt_ids.assign(prompt.ids().begin(), prompt.ids().end());
  }
  USER_CHECK(cache_.blocks() > KvCache::BlocksFor(longest),
             "[rollout] rollout.kv_cache_bytes is too small for one completion; raise it",
             Named("blocks", cache_.blocks()),
             Named("blocks_needed", KvCache::BlocksFor(longest) + 1),
             Named("block_bytes", KvCache::BlockBytes(policy_.config(), policy_.dtype())));
  return states;
}

bool Engine::Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                      std::vector<Group>* groups, std::stop_token stop) {
  std::vector<GroupState> states = StartGroups(prompts, options, groups);
  cache_.Clear();
  Scheduler scheduler(&cache_, {config_.max_running(), config_.prefill_tokens()});
  for (GroupState& state : states) scheduler.AddGroup(&state);
  while (!scheduler.idle()) {
    if (stop.stop_requested()) return false;
    RunStep(options, scheduler.Schedule());
    for (const auto& slice : slices_) {
      if (!slice->items.empty()) Accept(options, *slice, &scheduler);
    }
    ++stats_.steps;
  }
  stats_.preemptions += scheduler.preemptions();
  return true;
}

}  // namespace grouper
