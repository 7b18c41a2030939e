#include "rl/run/run_plan.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/memory.h"
#include "kernels/sampling/kept_sets.h"
#include "policy/layers/rope_table.h"
#include "policy/memory/activation_bytes.h"
#include "policy/memory/kv_cache.h"
#include "policy/optimizer.h"
#include "policy/weights.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/loss_rule.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/algorithm/schedule.h"
#include "rl/learner/batch.h"
#include "rl/learner/update_stage.h"
#include "rollout/engine/engine_bytes.h"

namespace grouper {
namespace {

constexpr DType kType = DType::kFloat32;
// What a process takes in addition to what this file counts, as measured: code and data of the
// libraries and the channel to the reward service; and per thread its stack and heap.
constexpr int64_t kProgramBytes = int64_t{16} << 20, kThreadBytes = int64_t{4} << 20;

int64_t Footprint(int64_t bytes) {
  return static_cast<int64_t>(Buffer::Footprint(static_cast<size_t>(bytes)));
}

int64_t Outputs(const Config& config) { return config.prompts_per_step() * config.group_size(); }

// The most rounds in which a step samples prompts_per_step prompts each.
int64_t RoundsOf(const Config& config) {
  return config.dynamic_sampling().enabled() ? config.dynamic_sampling().max_rounds() : 1;
}

// A checkpoint is written and read tensor by tensor (policy/checkpoint/file_tensors.h).
int64_t LargestTensorBytes(const PolicyConfig& policy) {
  const MoeConfig& moe = policy.moe();
  const int64_t rows = std::max({policy.vocab_size(), QueryWidth(policy), policy.dense_width(),
                                 moe.width(), moe.shared_width(), moe.experts()});
  return rows * policy.width() * static_cast<int64_t>(SizeOf(kType));
}

int64_t AnswersOf(const EvalConfig& eval) { return eval.samples() + (eval.greedy() ? 1 : 0); }

// The largest micro-batch: rows of its pass, targets, blocks of the KV cache; and the rows of a
// prompt that is computed in a pass of its own, because its group is divided.
struct MicroBatch {
  int64_t tokens = 0, targets = 0, blocks = 0, prompt = 0;
};

// Blocks of `count` completions of n tokens each and of the `shared` tokens of their prompt.
int64_t BlocksOfGroup(int64_t shared, int64_t count, int64_t n) {
  return KvCache::BlocksFor(shared) +
         count * (KvCache::BlocksFor(shared + n) - shared / numerics::kKeyBlock);
}

// Follows CutMicroBatches. A group whose completions are all as long as the cap may be divided;
// one with shorter completions may be packed with others.
MicroBatch LargestMicroBatch(const Config& config, const RunFacts& facts) {
  const int64_t cap = LongestCap(config.sampling());
  const int64_t cut = MicroBatchTokens(config.batch(), config.policy());
  const int64_t outputs = std::max<int64_t>(1, Outputs(config) / config.batch().minibatches());
  const int64_t group = std::min(config.group_size(), outputs);
  const int64_t shared = facts.longest_prompt - 1;
  const int64_t least_shared = std::max<int64_t>(1, facts.shortest_prompt) - 1;
  const int64_t part = std::min(std::max(cut, cap), group * cap);
  const bool spread =
      config.batch().minibatches() > 1 && config.batch().split() == BatchConfig::BY_OUTPUT;
  const int64_t groups = std::min(config.prompts_per_step(), spread ? outputs : outputs / group);
  const int64_t whole = std::min(cut, groups * shared + outputs * cap);
  MicroBatch most{.tokens = std::max(part, whole), .prompt = shared};
  // A whole group has its prompt's rows, which have no targets, in the same pass.
  most.targets = std::max(part, whole - std::min(whole, least_shared));
  // The last blocks of prompts and completions are emptiest at some lengths. A minibatch may hold
  // one completion of a group or all.
  for (int64_t s = std::max(least_shared, shared - numerics::kKeyBlock + 1); s <= shared; ++s) {
    for (int64_t n = 1; n <= cap; ++n) {
      most.blocks = std::max(most.blocks,
                             BlocksOfGroup(s, std::min(group, std::max<int64_t>(1, part / n)), n));
      for (const int64_t members : {int64_t{1}, group}) {
        const int64_t packed = std::min(groups, cut / (s + members * n));
        most.blocks = std::max(most.blocks, packed * BlocksOfGroup(s, members, n));
      }
    }
  }
  return most;
}

// The activations of the pass over the largest micro-batch, of the pass over a prompt, and the sums
// of the prompts' gradients.
struct LearnerBytes {
  int64_t activations = 0, logits = 0;
};

LearnerBytes LearnerBytesOf(const PolicyConfig& policy, const MicroBatch& micro, bool keep,
                            int threads) {
  const int64_t scratch =
      MostAttentionScratch(policy, threads, micro.tokens, policy.max_positions());
  const ActivationBytes pass = ActivationBytesOf(policy, kType,
                                                 {.tokens = micro.tokens,
                                                  .logit_rows = micro.targets,
                                                  .keep = keep,
                                                  .attention_scratch = scratch});
  const ActivationBytes prompt =
      ActivationBytesOf(policy, kType, {.tokens = micro.prompt, .keep = keep});
  LearnerBytes bytes{Footprint(pass.total) - pass.logits, pass.logits};
  if (micro.prompt == 0) return bytes;
  bytes.activations += Footprint(prompt.total);
  if (keep) {
    bytes.activations += Footprint(policy.layers() * micro.prompt * 2 * KvWidth(policy) *
                                   static_cast<int64_t>(SizeOf(kType)));
  }
  return bytes;
}

// The bytes of sampled groups in memory. The fields of messages grow by doubling.
struct GroupBytes {
  int64_t output = 0;  // of one completion with its score
  int64_t text = 0;    // of that: what a reward service is sent
  int64_t prompt = 0;

  int64_t Of(int64_t prompts, int64_t outputs) const { return prompts * prompt + outputs * output; }
};

GroupBytes GroupBytesOf(const Config& config, const SamplingConfig& sampling, int64_t cap,
                        int64_t longest_prompt) {
  const bool filtered = sampling.top_k() > 0 || sampling.top_p() < 1 || sampling.min_p() > 0;
  const auto experts = static_cast<int64_t>(ExpertBytes(config.policy()));
  constexpr int64_t kTextOfToken = 2;  // about
  // Per token: id, log-prob, entropy and end in the text, 4 bytes each.
  const int64_t token = 16 + (filtered ? 4 : 0) + kTextOfToken + experts;
  constexpr int64_t kMessages = 1024;  // of an output: scores, spans, headers
  return {.output = 3 * token / 2 * cap + kMessages,
          .text = kTextOfToken * (cap + longest_prompt) + kMessages,
          .prompt = longest_prompt * (4 + experts + kTextOfToken)};
}

// The groups of all rounds of a step, and the training sequences of those that are trained on.
int64_t RolloutBytes(const Config& config, const RunFacts& facts) {
  const int64_t cap = LongestCap(config.sampling());
  const GroupBytes groups = GroupBytesOf(config, config.sampling(), cap, facts.longest_prompt);
  return RoundsOf(config) * groups.Of(config.prompts_per_step(), Outputs(config)) +
         Outputs(config) * (8 * cap + 4 * facts.longest_prompt);
}

// The groups of a round that are sampled but not scored yet are copied for the scoring thread, and
// their texts are put into requests. With slow scorers these are all groups of the round.
int64_t ScoringBytes(const Config& config, const RunFacts& facts) {
  const GroupBytes groups =
      GroupBytesOf(config, config.sampling(), LongestCap(config.sampling()), facts.longest_prompt);
  return groups.Of(config.prompts_per_step(), Outputs(config)) + 2 * Outputs(config) * groups.text;
}

// The questions that an evaluation answers at a time, and the longest answer.
struct EvalShape {
  int64_t questions = 0, answers = 0, cap = 0;
};
EvalShape LargestEvalPart(const Config& config, const RunFacts& facts, bool greedy) {
  const int64_t answers = greedy ? 1 : config.eval().samples();
  return {.questions = std::min(facts.eval_questions, QuestionsPerPart(config.rollout(), answers)),
          .answers = answers,
          .cap = EvalSampling(config).max_new_tokens()};
}

// The groups of a part of an evaluation, and their texts in requests.
int64_t EvaluationBytes(const Config& config, const RunFacts& facts) {
  int64_t most = 0;
  for (const bool greedy : {false, true}) {
    if (greedy && !config.eval().greedy()) continue;
    const EvalShape part = LargestEvalPart(config, facts, greedy);
    const GroupBytes groups =
        GroupBytesOf(config, EvalSampling(config), part.cap, facts.longest_eval_prompt);
    const int64_t outputs = part.questions * part.answers;
    most = std::max(most, groups.Of(part.questions, outputs) + 2 * outputs * groups.text);
  }
  return most;
}

void AddReference(const Config& config, const MicroBatch& micro, int64_t block_bytes, int threads,
                  std::vector<MemoryRow>* rows) {
  if (!NeedsReference(config.loss())) return;
  const Weights::Bytes weights = Weights::BytesOf(config.policy(), kType);
  rows->push_back({"reference weights, both packings",
                   Footprint(weights.values) + Footprint(weights.transposed) +
                       Footprint(weights.router_bias) +
                       Footprint(RopeTable::BytesOf(config.policy(), kType)),
                   MemoryRow::When::kFromStart, "loss.kl=NONE, policy.width, policy.layers"});
  const LearnerBytes pass = LearnerBytesOf(config.policy(), micro, false, threads);
  const int64_t kept_sets = RuleOf(config.sampling()).filtered()
                                ? 4 * micro.targets * KeptSetWords(config.policy().vocab_size())
                                : 0;
  rows->push_back({"reference activations, KV cache",
                   pass.activations + pass.logits + Footprint(kept_sets) +
                       Footprint(micro.blocks * block_bytes),
                   MemoryRow::When::kOnceReached,
                   "loss.kl=NONE, sampling.max_new_tokens, batch.max_tokens_per_micro_batch"});
}

// The activations of the engine: those of the steps or of the evaluations, whichever are larger.
int64_t RolloutActivations(const Config& config, const RunFacts& facts) {
  const int64_t cap = LongestCap(config.sampling());
  int64_t engine = EngineActivationBytes(config.policy(), kType, config.rollout(),
                                         {.prompts = config.prompts_per_step(),
                                          .completions = Outputs(config),
                                          .longest_prompt = facts.longest_prompt,
                                          .longest_sequence = facts.longest_prompt + cap},
                                         facts.threads);
  for (const bool greedy : {false, true}) {
    if (facts.eval_questions == 0 || (greedy && !config.eval().greedy())) continue;
    const EvalShape part = LargestEvalPart(config, facts, greedy);
    engine = std::max(
        engine, EngineActivationBytes(config.policy(), kType, config.rollout(),
                                      {.prompts = part.questions,
                                       .completions = part.questions * part.answers,
                                       .longest_prompt = facts.longest_eval_prompt,
                                       .longest_sequence = facts.longest_eval_prompt + part.cap},
                                      facts.threads));
  }
  return engine;
}

// Fills the sums. Parts of a step and of a save never exist at the same time.
void AddUp(MemoryPlan* plan) {
  int64_t reached = 0, step = 0, saving = 0;
  for (const MemoryRow& row : plan->rows) {
    switch (row.when) {
      case MemoryRow::When::kFromStart:
        plan->from_start += row.bytes;
        break;
      case MemoryRow::When::kOnceReached:
        reached += row.bytes;
        break;
      case MemoryRow::When::kInStep:
        step += row.bytes;
        break;
      case MemoryRow::When::kWhileSaving:
        saving += row.bytes;
        break;
    }
  }
  plan->total = plan->from_start + reached + std::max(step, saving);
}

}  // namespace

SchedulePlan PlanSchedule(const Config& config, const RunFacts& facts) {
  SchedulePlan plan;
  plan.steps = config.steps();
  plan.minibatches = config.batch().minibatches();
  plan.updates = UpdatesOf(config);
  plan.outputs_per_step = Outputs(config);
  plan.outputs_per_update = plan.outputs_per_step / plan.minibatches;

  const int64_t warm = config.optimizer().warmup_updates(), last = plan.updates - 1;
  const auto rate = [&](const std::string& mark, int64_t update) {
    if (update < 0 || update > last) return;
    if (!plan.rates.empty() && plan.rates.back().update >= update) return;
    plan.rates.push_back({mark, update, LearningRateAt(config.optimizer(), update, plan.updates)});
  };
  rate("first", 0);
  if (warm > 0) rate("warm-up done", warm - 1);
  rate("middle", plan.updates / 2);
  rate("last", last);

  for (int64_t i = -1; i < config.sampling().length_schedule_size(); ++i) {
    const int64_t from =
        i < 0 ? 0 : config.sampling().length_schedule(static_cast<int>(i)).from_update();
    const int64_t step = (from + plan.minibatches - 1) / plan.minibatches;
    if (step >= plan.steps) continue;
    const int64_t done = step * plan.minibatches, cap = LengthCapAt(config.sampling(), done);
    if (!plan.caps.empty() && plan.caps.back().from_step == step) plan.caps.pop_back();
    plan.caps.push_back({step, done, cap});
    plan.most_new_tokens = std::max(plan.most_new_tokens, plan.outputs_per_step * cap);
  }
  plan.most_step_tokens = plan.most_new_tokens + plan.outputs_per_step * facts.longest_prompt;

  plan.reference = NeedsReference(config.loss());
  if (plan.reference && config.reference().refresh_every() > 0) {
    plan.reference_refreshes = plan.updates / config.reference().refresh_every();
  }
  if (facts.eval_questions > 0) {
    const int64_t every = config.eval_every();
    plan.evaluations = every > 0 ? plan.steps / every : 0;
    if (every == 0 || plan.steps % every != 0 || plan.steps == 0) ++plan.evaluations;
    plan.answers_per_evaluation = facts.eval_questions * AnswersOf(config.eval());
  }
  const int64_t save = config.checkpoint_every();
  plan.checkpoints = 1 + (save > 0 && plan.steps > 0 ? (plan.steps - 1) / save : 0);
  plan.questions = plan.steps * config.prompts_per_step();
  plan.most_questions = plan.questions * RoundsOf(config);
  return plan;
}

MemoryPlan PlanMemory(const Config& config, const RunFacts& facts) {
  using When = MemoryRow::When;
  const PolicyConfig& policy = config.policy();
  const Weights::Bytes weights = Weights::BytesOf(policy, kType);
  const int64_t elements = weights.values / static_cast<int64_t>(SizeOf(kType));
  const int64_t block_bytes = KvCache::BlockBytes(policy, kType);
  const std::string shape = "policy.width, policy.layers, policy.moe";
  MemoryPlan plan;
  std::vector<MemoryRow>& rows = plan.rows;
  rows.push_back({"program, about", kProgramBytes + facts.threads * kThreadBytes, When::kFromStart,
                  "--threads"});
  rows.push_back({"weights, fp32 master", Footprint(weights.values), When::kFromStart, shape});
  rows.push_back(
      {"weights, transposed packing", Footprint(weights.transposed), When::kFromStart, shape});
  rows.push_back({"router bias, rotations",
                  Footprint(weights.router_bias) + Footprint(RopeTable::BytesOf(policy, kType)),
                  When::kFromStart, "policy.max_positions"});
  rows.push_back({"Adam moments", 2 * Footprint(weights.values), When::kFromStart, shape});
  rows.push_back({"gradients",
                  Footprint(weights.values) + Footprint(Optimizer::NormBytes(elements)),
                  When::kFromStart, shape});
  const MicroBatch micro = LargestMicroBatch(config, facts);
  AddReference(config, micro, block_bytes, facts.threads, &rows);
  rows.push_back({"rollout KV cache",
                  Footprint(config.rollout().kv_cache_bytes() / block_bytes * block_bytes),
                  When::kFromStart, "rollout.kv_cache_bytes"});

  rows.push_back({"rollout activations", RolloutActivations(config, facts), When::kOnceReached,
                  "rollout.max_running, rollout.prefill_tokens"});
  const LearnerBytes pass = LearnerBytesOf(policy, micro, true, facts.threads);
  const std::string lengths =
      "sampling.max_new_tokens, sampling.length_schedule, batch.max_tokens_per_micro_batch";
  rows.push_back({"learner activations", pass.activations, When::kOnceReached, lengths});
  rows.push_back({"learner logits", pass.logits, When::kOnceReached, lengths});
  rows.push_back(
      {"learner KV cache", Footprint(micro.blocks * block_bytes), When::kOnceReached, lengths});
  const std::string sampled = "prompts_per_step, group_size, sampling.max_new_tokens";
  rows.push_back({"rollouts of a step", RolloutBytes(config, facts), When::kInStep,
                  sampled + (RoundsOf(config) > 1 ? ", dynamic_sampling.max_rounds" : "")});
  rows.push_back(
      {"copies of rollouts to score", ScoringBytes(config, facts), When::kInStep, sampled});
  if (facts.eval_questions > 0) {
    rows.push_back({"answers of an evaluation", EvaluationBytes(config, facts), When::kInStep,
                    "rollout.max_running, eval.max_new_tokens"});
  }
  rows.push_back({"largest tensor of a checkpoint", LargestTensorBytes(policy), When::kWhileSaving,
                  "policy.width"});

  AddUp(&plan);
  return plan;
}

void CheckFits(const MemoryPlan& plan, int64_t bytes, const std::string& what,
               int64_t machine_bytes) {
  if (bytes <= machine_bytes) return;
  std::vector<MemoryRow> largest = plan.rows;
  std::stable_sort(largest.begin(), largest.end(),
                   [](const MemoryRow& a, const MemoryRow& b) { return a.bytes > b.bytes; });
  std::string words;
  for (size_t i = 0; i < 2 && i < largest.size(); ++i) {
    words += (i == 0 ? "" : "; ") + largest[i].name + ": lower " + largest[i].lower;
  }
  ThrowUser("[memory] " + what + " does not fit into this machine, and nothing was started. The " +
                "largest parts are " + words,
            Named("bytes_needed", bytes), Named("machine_bytes", machine_bytes));
}

}  // namespace grouper
