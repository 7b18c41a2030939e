// The memory of a plan against the bytes that real steps take: every buffer of the process is
// counted (kernels/memory), messages say their size themselves, files are looked at.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/io/file.h"
#include "kernels/memory.h"
#include "policy/checkpoint/safetensors.h"
#include "policy/init.h"
#include "policy/memory/activation_bytes.h"
#include "proto/textproto.h"
#include "rl/command/plan_table.h"
#include "rl/training/trainer.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

// Judges every completion WRONG and rewards every other one.
class EveryOther final : public GroupScorer {
 public:
  int64_t Score(std::vector<Group>* groups, const KeptVerdicts*, std::stop_token) override {
    for (Group& group : *groups) {
      group.clear_scores();
      for (int i = 0; i < group.completions_size(); ++i) {
        auto* score = group.add_scores();
        score->set_item_id(std::to_string(group.completions(i).rollout_id()));
        score->set_status(reward::v1::ScoreResult::SCORED);
        score->set_verdict(reward::v1::ScoreResult::WRONG);
        score->set_reward(i % 2);
      }
    }
    return 0;
  }
};

// Prompts of a BOS and `bytes` letters.
std::string Rows(const TempFolder& folder, int rows, size_t bytes) {
  std::string text;
  for (int i = 0; i < rows; ++i) {
    text += R"({"question": ")" + std::string(bytes, static_cast<char>('a' + i)) +
            R"(", "answer": "1"})" + "\n";
  }
  return folder.Write("train.jsonl", text);
}

int64_t BytesOf(const MemoryPlan& plan, const std::string& name) {
  for (const MemoryRow& row : plan.rows) {
    if (row.name == name) return row.bytes;
  }
  ADD_FAILURE() << "no row named " << name;
  return 0;
}

void ExpectHolds(int64_t planned, size_t taken, const char* what) {
  EXPECT_NEAR(static_cast<double>(planned) / static_cast<double>(taken), 1, 0.05)
      << what << ": planned " << planned << ", taken " << taken;
}

void RunAndCompare(const std::string& text, size_t prompt_bytes, int threads) {
  TempFolder folder;
  Config config;
  MergeTextproto(R"(
    steps: 3 prompts_per_step: 4 group_size: 4 checkpoint_every: 0
    data { eval: "" tokenizer: "bytes" }
    optimizer { lr: 1e-4 }
    reward { rubric { name: "gsm8k" extraction: GSM8K component { name: "accuracy" weight: 1 } } }
  )",
                 "test", &config);
  MergeTextproto(text, "test", &config);
  config.mutable_data()->set_train(Rows(folder, 6, prompt_bytes));
  ASSERT_EQ(Buffer::LiveBytes(), 0u);
  MemoryPlan plan;
  {
    const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer(&config);
    const PromptSet prompts(config, *tokenizer);
    const RunFacts facts = FactsOf(config, prompts, threads);
    EXPECT_EQ(facts.longest_prompt, static_cast<int64_t>(prompt_bytes) + 1);
    plan = PlanMemory(config, facts);
  }
  ASSERT_EQ(Buffer::LiveBytes(), 0u) << "a plan takes nothing";
  const int64_t rollouts = BytesOf(plan, "rollouts of a step"),
                tensor = BytesOf(plan, "largest tensor of a checkpoint"),
                step_bytes = rollouts + BytesOf(plan, "copies of rollouts to score");
  const int64_t program = BytesOf(plan, "program, about");  // no buffer
  const int64_t buffers = plan.total - std::max(step_bytes, tensor) - program;
  const size_t from_start = static_cast<size_t>(plan.from_start - program);

  Buffer::ForgetMost();
  int64_t truncated = 0;
  EveryOther scorer;
  const auto look = [&](int64_t step, const std::vector<Group>& groups) {
    size_t messages = 0;
    for (const Group& group : groups) {
      messages += group.SpaceUsedLong();
      for (const Completion& c : group.completions()) {
        truncated += c.finish_reason() == Completion::LENGTH ? 1 : 0;
      }
    }
    EXPECT_LE(messages, static_cast<size_t>(rollouts));
    EXPECT_GE(messages, static_cast<size_t>(rollouts / 4));
    if (step == 0) {
      // What needs no length is allocated; the rollout's passes came with the sampling.
      EXPECT_GE(Buffer::LiveBytes(), from_start);
    }
  };
  const std::string run = JoinPath(folder.path(), "run");
  {
    Trainer trainer(config, run, {.threads = threads}, {.scorer = &scorer});
    EXPECT_EQ(Buffer::LiveBytes(), from_start) << "to the byte";
    while (trainer.next_step() < config.steps()) {
      std::optional<StepExperience> experience = trainer.Collect({});
      look(trainer.next_step(), experience->rollout.groups);
      trainer.Learn(std::move(*experience), {});
    }
    const TrainResult result = trainer.Run({});
    EXPECT_EQ(result.steps, 3);
    ASSERT_GT(truncated, 16) << "the caps were not reached, there is nothing to compare";
    ExpectHolds(buffers, Buffer::LiveBytes(), "what stays");
  }
  ExpectHolds(buffers, Buffer::MostBytes(), "the most at any time");
  // A checkpoint is written tensor by tensor.
  const std::string saved = JoinPath(run, "checkpoints/step-00000003/model.safetensors");
  const std::string bytes = ReadFile(saved, "model");
  size_t largest = 0;
  for (const SafetensorsView& view : ReadSafetensors(bytes, saved).tensors) {
    largest = std::max(largest, view.bytes.size());
  }
  EXPECT_EQ(static_cast<size_t>(tensor), largest);
  EXPECT_EQ(Buffer::LiveBytes(), 0u);
}

TEST(PlanMemory, HoldsForAMixtureWhosePackedSequencesFillTheMicroBatch) {
  // A group is divided: its prompt of 79 shared tokens, and four completions of 64, which fill the
  // 256 that are taken at a time.
  RunAndCompare(R"(
    policy {
      width: 64 layers: 2 max_positions: 256 attention { heads: 4 kv_heads: 2 head_dim: 16 }
      moe { experts: 4 experts_per_token: 2 width: 64 shared_width: 64 }
    }
    rollout { kv_cache_bytes: 2000000 }
    sampling { max_new_tokens: 64 })",
                79, 1);
}

TEST(PlanMemory, HoldsForADensePolicyWithCompletionsAboveTheCut) {
  // 299 shared tokens and 260 of its own: each completion is a micro-batch. Two threads sample.
  RunAndCompare(R"(
    policy {
      width: 48 layers: 3 max_positions: 1024 tied_head: true dense_width: 96
      attention { heads: 3 kv_heads: 3 head_dim: 16 } moe { experts: 0 }
    }
    rollout { kv_cache_bytes: 8000000 prefill_tokens: 400 }
    sampling { max_new_tokens: 260 })",
                299, 2);
}

TEST(PlanMemory, HoldsForAReferenceAndSeveralMinibatches) {
  RunAndCompare(R"(
    batch { minibatches: 2 split: BY_GROUP }
    loss { kl: K3 kl_beta: 0.01 }
    reference { refresh_every: 3 }
    policy {
      width: 64 layers: 2 max_positions: 256 attention { heads: 4 kv_heads: 2 head_dim: 16 }
      moe { experts: 4 experts_per_token: 2 width: 64 shared_width: 64 }
    }
    rollout { kv_cache_bytes: 2000000 }
    sampling { max_new_tokens: 64 })",
                79, 1);
}

// The formula is the arena's high-water mark to the byte, for every switch of a policy.
TEST(PlanMemory, ActivationsAreKnownToTheByte) {
  constexpr int64_t kVocab = 37;
  for (const auto& [name, shape] : testing::PolicyShapes(kVocab)) {
    SCOPED_TRACE(name);
    Stream stream{cpu::ChooseIsa(), nullptr};
    Policy policy(shape, DType::kFloat32);
    InitRandom(5, &policy.weights(), stream);
    Buffer grads(policy.weights().flat_bytes());
    for (const bool keep : {true, false}) {
      PackedPass pass(&policy, stream);
      std::vector<TrainSequence> sequences(2);
      for (size_t s = 0; s < 2; ++s) {
        for (int32_t t = 0; t < 20 + 9 * static_cast<int32_t>(s); ++t) {
          sequences[s].ids.push_back(t % static_cast<int32_t>(kVocab));
          if (t > 7) sequences[s].targets.push_back(t);
        }
      }
      pass.Forward(sequences, {}, keep);
      const int64_t rows = static_cast<int64_t>(pass.log_probs().size());
      if (keep) {
        pass.Backward(std::vector<double>(static_cast<size_t>(rows), 0.5), {},
                      policy.weights().ViewsOf(grads));
      }
      const ActivationBytes bytes = ActivationBytesOf(
          shape, DType::kFloat32, {.tokens = pass.tokens(), .logit_rows = rows, .keep = keep});
      EXPECT_EQ(pass.activations().arena.high_water_bytes(), static_cast<size_t>(bytes.total))
          << (keep ? "with" : "without") << " a backward";
    }
  }
}

}  // namespace
}  // namespace grouper
