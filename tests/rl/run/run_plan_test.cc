// The schedule and the words of a plan, by hand arithmetic.
#include "rl/run/run_plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/io/json.h"
#include "policy/policy_config.h"
#include "proto/textproto.h"
#include "rl/algorithm/profile.h"
#include "rl/command/plan_table.h"
#include "rl/run/trace_header.h"

namespace grouper {
namespace {

Config Parse(const std::string& text) {
  Config config;
  MergeTextproto(text, "test", &config);
  ApplyProfile(&config);
  return config;
}

// 10,400 updates of DeepSeek-R1's first stage: 650 steps of 512 x 16 outputs, dealt to 16 updates.
Config R1() {
  return Parse(R"(
    profile: "r1" steps: 650 eval_every: 100 checkpoint_every: 50
    policy { vocab_size: 260 width: 32 layers: 2 max_positions: 131072 }
    sampling { max_new_tokens: 32768 length_schedule { from_update: 8200 max_new_tokens: 65536 } }
    optimizer { warmup_updates: 40 })");
}
constexpr RunFacts kR1Facts{
    .rows = 144000, .shortest_prompt = 20, .longest_prompt = 500, .eval_questions = 30};

TEST(RunPlan, TheScheduleOfR1) {
  const SchedulePlan plan = PlanSchedule(R1(), kR1Facts);
  EXPECT_EQ(plan.updates, 10400);
  EXPECT_EQ(plan.outputs_per_step, 8192);
  EXPECT_EQ(plan.outputs_per_update, 512);
  EXPECT_TRUE(plan.reference);
  EXPECT_EQ(plan.reference_refreshes, 26);
  ASSERT_EQ(plan.caps.size(), 2u);
  EXPECT_EQ(plan.caps[0].max_new_tokens, 32768);
  // 8,200 is no multiple of 16: the first step that begins at or after it has done 8,208 updates.
  EXPECT_EQ(plan.caps[1].from_step, 513);
  EXPECT_EQ(plan.caps[1].from_update, 8208);
  EXPECT_EQ(plan.caps[1].max_new_tokens, 65536);
  ASSERT_EQ(plan.rates.size(), 4u);
  EXPECT_FLOAT_EQ(static_cast<float>(plan.rates[0].lr), 3e-6f / 40);
  EXPECT_EQ(plan.rates[1].update, 39);
  EXPECT_FLOAT_EQ(static_cast<float>(plan.rates[1].lr), 3e-6f);
  EXPECT_EQ(plan.rates[3].update, 10399);
  EXPECT_EQ(plan.evaluations, 7) << "six within the run, one after the last step";
  EXPECT_EQ(plan.answers_per_evaluation, 30 * 5);
  EXPECT_EQ(plan.checkpoints, 13) << "twelve within, one at the end";
  EXPECT_EQ(plan.most_new_tokens, int64_t{8192} * 65536);
  EXPECT_EQ(plan.most_step_tokens, int64_t{8192} * (65536 + 500));
  EXPECT_EQ(plan.questions, 332800);
}

TEST(RunPlan, WithoutAKlTermThereIsNoReference) {
  Config config = R1();
  const int64_t with = PlanMemory(config, kR1Facts).total;
  config.mutable_loss()->set_kl_beta(0);
  EXPECT_FALSE(PlanSchedule(config, kR1Facts).reference);
  EXPECT_EQ(PlanSchedule(config, kR1Facts).reference_refreshes, 0);
  const MemoryPlan plan = PlanMemory(config, kR1Facts);
  EXPECT_LT(plan.total, with);
  for (const MemoryRow& row : plan.rows) {
    EXPECT_EQ(row.name.find("reference"), std::string::npos) << row.name;
  }
  EXPECT_NE(PlanText(config, kR1Facts, 0).find("neither loaded nor computed"), std::string::npos);
}

TEST(RunPlan, ACosineEndsAtItsShareAndACapBehindTheRunIsNotShown) {
  const Config config = Parse(R"(
    steps: 100 prompts_per_step: 2 group_size: 4 eval_every: 0 checkpoint_every: 0
    dynamic_sampling { enabled: true max_rounds: 3 }
    policy { vocab_size: 123 }
    sampling { max_new_tokens: 8 length_schedule { from_update: 100 max_new_tokens: 16 } }
    optimizer { lr: 1 schedule: COSINE final_share: 0.1 })");
  const SchedulePlan plan = PlanSchedule(config, {.longest_prompt = 5});
  ASSERT_EQ(plan.caps.size(), 1u);
  EXPECT_EQ(plan.most_new_tokens, 8 * 8);
  ASSERT_EQ(plan.rates.size(), 3u) << "no warm-up, no mark of it";
  EXPECT_NEAR(plan.rates[1].lr, 0.55, 1e-6);
  EXPECT_NEAR(plan.rates[2].lr, 0.1, 1e-3);
  EXPECT_EQ(plan.evaluations, 0) << "no held-out questions";
  EXPECT_EQ(plan.checkpoints, 1);
  EXPECT_EQ(plan.questions, 200);
  EXPECT_EQ(plan.most_questions, 600);
}

TEST(RunPlan, TableAndJsonSayTheSameNumbers) {
  const Config config = R1();
  const std::string text = PlanText(config, kR1Facts, int64_t{1} << 40);
  for (const char* words :
       {"10,400, 16 per step", "8,192: 512 questions x 16", "26 refreshes, one every 400 updates",
        "65,536 from step 513, after 8,208 updates", "332,800 of 144,000, 2.31 epochs",
        "3e-06 at update 40", "536,870,912 sampled", "7, of 30 questions, 150 answers"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  }
  const Json json = ParseJson(PlanJson(config, kR1Facts, int64_t{1} << 40), "plan");
  const Json& schedule = json.At("schedule", "plan");
  EXPECT_EQ(schedule.Integer("updates", "plan"), 10400);
  EXPECT_EQ(schedule.Integer("reference_refreshes", "plan"), 26);
  EXPECT_EQ(schedule.At("max_new_tokens", "plan").items[1].Integer("from_step", "plan"), 513);
  EXPECT_NEAR(schedule.Number("epochs", "plan"), 332800.0 / 144000, 1e-12);
  const Json& memory = json.At("memory", "plan");
  const MemoryPlan plan = PlanMemory(config, kR1Facts);
  EXPECT_EQ(memory.Integer("total_bytes", "plan"), plan.total);
  EXPECT_EQ(memory.At("parts", "plan").items.size(), plan.rows.size());
  EXPECT_TRUE(memory.At("fits", "plan").boolean);
  Config again;
  MergeTextproto(json.String("config", "plan"), "plan", &again);
  EXPECT_EQ(ToTextproto(again), ToTextproto(config));
}

TEST(RunPlan, WhatDoesNotFitIsRefusedWithWhatToLower) {
  Config config = R1();
  const MemoryPlan plan = PlanMemory(config, kR1Facts);
  EXPECT_NO_THROW(CheckFits(plan, plan.total, "the run", plan.total));
  try {
    CheckFits(plan, plan.total, "the run", plan.total - 1);
    FAIL() << "a plan above the machine's memory was let through";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_NE(error.message().find("lower prompts_per_step, group_size"), std::string::npos)
        << error.message();
    EXPECT_NE(error.message().find(std::to_string(plan.total)), std::string::npos);
  }
}

// 671 billion parameters are planned without a byte of them.
TEST(RunPlan, APolicyFarBeyondThisMachineCanBePlanned) {
  const Config config = Parse(R"(
    profile: "r1" steps: 650
    policy {
      vocab_size: 129280 width: 7168 layers: 61 dense_layers: 3 dense_width: 18432
      attention { heads: 128 kv_heads: 128 head_dim: 128 }
      moe { experts: 256 experts_per_token: 8 width: 2048 shared_width: 2048 }
      max_positions: 131072
    }
    rollout { kv_cache_bytes: 68719476736 }
    sampling { max_new_tokens: 32768 })");
  const MemoryPlan plan = PlanMemory(config, kR1Facts);
  // Seven times 4 bytes: master, transposed, two moments, gradients; master and transposed of the
  // reference.
  const int64_t parameters = ParameterCount(config.policy());
  EXPECT_GT(plan.from_start, 7 * 4 * parameters);
  EXPECT_LT(plan.from_start, 7 * 4 * parameters + (int64_t{80} << 30));
}

TEST(TraceFrames, SettingsWhoseCompletionsNoFrameHoldsAreRefused) {
  const auto refusal = [](const std::string& text) {
    Config config;
    MergeTextproto(text, "test", &config);
    try {
      CheckTraceFrames(config);
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
      return error.message();
    }
  };
  const std::string moe = "policy { layers: 61 moe { experts: 256 experts_per_token: 8 } } ";
  EXPECT_EQ(refusal(moe + "sampling { max_new_tokens: 65536 }"), "");
  EXPECT_EQ(refusal("policy { moe { experts: 0 } } sampling { max_new_tokens: 400000 }"), "");
  for (const std::string& text :
       {moe + "sampling { max_new_tokens: 131072 }", moe + "eval { max_new_tokens: 131072 }",
        std::string("sampling { max_new_tokens: 1000000000000000000 }")}) {
    const std::string words = refusal(text);
    EXPECT_NE(words.find("sampling.max_new_tokens"), std::string::npos) << text << ": " << words;
    EXPECT_NE(words.find("expert_bytes_per_token="), std::string::npos) << words;
  }
}

}  // namespace
}  // namespace grouper
