// Every number of a config at the values that people try and that break programs: it is refused
// before anything is written, or it means something that docs/config.md says and a plan can be made
// with. A new field is covered without a change here.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <functional>
#include <regex>

#include "base/error.h"
#include "base/io/file.h"
#include "proto/check/range_check.h"
#include "proto/textproto.h"
#include "rl/algorithm/profile.h"
#include "rl/algorithm/setting_notes.h"
#include "rl/command/quickstart_config.h"
#include "rl/run/run_plan.h"
#include "rl/training/sft.h"
#include "rl/training/trainer.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

namespace pb = google::protobuf;
using testing_support::UserErrorOf;

constexpr const char* kBase = R"(
  steps: 2 prompts_per_step: 4 group_size: 4
  policy { width: 32 layers: 2 attention { heads: 2 kv_heads: 1 head_dim: 16 }
           moe { experts: 4 experts_per_token: 2 width: 32 shared_width: 32 } max_positions: 64 }
  data { train: "rows.jsonl" eval: "" tokenizer: "bytes" }
  sampling { max_new_tokens: 16 length_schedule { from_update: 1 max_new_tokens: 8 } }
  reward { rubric { extraction: WHOLE
    component { name: "accuracy" clamp { low: 0 high: 1 } }
    component { name: "overlong" weight: 0.2 max_tokens: 16 ramp_tokens: 8 } } }
)";

Config Base(const std::string& more = "") {
  Config config;
  MergeTextproto(kBase, "base", &config);
  MergeTextproto(more, "more", &config);
  return config;
}

// Calls `see` with every numeric field below message, which exists for it in `message`: lists of
// messages have one element or more.
using See = std::function<void(const std::string& path, pb::Message*, const pb::FieldDescriptor&)>;
void ForEachNumber(const std::string& path, pb::Message* message, const See& see) {
  const pb::Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const pb::FieldDescriptor& field = *message->GetDescriptor()->field(i);
    const std::string here = path + field.name();
    if (IsNumeric(field)) see(here, message, field);
    if (field.message_type() == nullptr) continue;
    if (!field.is_repeated()) {
      ForEachNumber(here + ".", reflection.MutableMessage(message, &field), see);
      continue;
    }
    for (int k = 0; k < reflection.FieldSize(*message, &field); ++k) {
      ForEachNumber(here + "[" + std::to_string(k) + "].",
                    reflection.MutableRepeatedMessage(message, &field, k), see);
    }
  }
}

// The row of docs/config.md.
std::string RowOf(const pb::FieldDescriptor& field) {
  static const std::string docs = ReadFile(GROUPER_CONFIG_DOCS, "docs");
  const size_t message = docs.find("\n## " + field.containing_type()->name() + "\n");
  const size_t row = docs.find("\n| " + field.name() + " | ", message);
  return docs.substr(row + 1, docs.find('\n', row + 1) - row - 1);
}

void CheckAll(const Config& config) {
  CheckTrainConfig(config);
  CheckSftConfig(config);
  CheckEvalConfig(config);
}

// A plan of the run can be made, and no number of it is below 0.
void ExpectPlan(Config config) {
  const std::unique_ptr<Tokenizer> tokenizer = MakeTokenizer(&config);
  const RunFacts facts{.rows = 10, .longest_prompt = 8, .eval_questions = 2};
  const SchedulePlan schedule = PlanSchedule(config, facts);
  EXPECT_GE(schedule.updates, 0);
  EXPECT_GE(schedule.most_questions, 0);
  EXPECT_GE(schedule.most_step_tokens, 0);
  const MemoryPlan memory = PlanMemory(config, facts);
  EXPECT_GT(memory.total, 0);
  for (const MemoryRow& row : memory.rows) EXPECT_GE(row.bytes, 0) << row.name;
}

TEST(Settings, EveryNumberIsRefusedOrMeansWhatTheDocumentSays) {
  ASSERT_NO_THROW(CheckAll(Base()));
  Config every = Base();
  std::vector<std::string> paths;
  ForEachNumber("", &every,
                [&](const std::string& path, pb::Message*, const auto&) { paths.push_back(path); });
  EXPECT_GT(paths.size(), 80u);
  int refused = 0, taken = 0;
  for (const std::string& wanted : paths) {
    for (const char* value : {"-1", "0", "nan", "inf", "1e30"}) {
      SCOPED_TRACE(wanted + "=" + value);
      Config config = Base();
      const pb::FieldDescriptor* changed = nullptr;
      try {
        Config filled = config;
        ForEachNumber("", &filled,
                      [&](const std::string& path, pb::Message* holder, const auto& field) {
                        if (path != wanted) return;
                        changed = &field;
                        SetField(field.name() + "=" + value, holder);
                      });
        ASSERT_NE(changed, nullptr);
        CheckAll(filled);
        config = filled;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUser) << error.message();
        EXPECT_NE(error.message().find(changed->name()), std::string::npos) << error.message();
        ++refused;
        continue;
      }
      ++taken;
      const std::string number = value;
      EXPECT_TRUE(number == "-1" || number == "0" || number == "1e30");
      ExpectPlan(config);
      const std::string row = RowOf(*changed);
      const bool below_zero = row.find("| from -") != std::string::npos;
      if (number == "0" && !below_zero && changed->name() != "seed") {
        EXPECT_TRUE(
            std::regex_search(row.substr(row.rfind(" | ", row.size() - 4)), std::regex("\\b0\\b")))
            << "the document does not say what 0 means: " << row;
      } else if (number == "-1") {
        EXPECT_TRUE(below_zero) << row;
      }
    }
  }
  EXPECT_GT(refused, 3 * taken);
}

// The largest value of one setting does not overflow the plan's numbers.
TEST(Settings, TheUpperEndsLeaveRoomForArithmetic) {
  Config every = Base();
  int taken = 0;
  std::vector<std::pair<std::string, std::string>> ends;
  ForEachNumber("", &every, [&](const std::string& path, pb::Message*, const auto& field) {
    const std::string words = RangeWords(field);
    const size_t last = words.rfind(' ');
    if (words != "any number" && words.find("below") == std::string::npos) {
      ends.emplace_back(path, words.substr(last + 1));
    }
  });
  for (const auto& [wanted, end] : ends) {
    SCOPED_TRACE(wanted + "=" + end);
    Config config = Base();
    ForEachNumber("", &config,
                  [&](const std::string& path, pb::Message* holder, const auto& field) {
                    if (path == wanted) SetField(field.name() + "=" + end, holder);
                  });
    EXPECT_FALSE(FindRangeFault(config).has_value());
    try {
      CheckAll(config);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser) << error.message();
      continue;  // it does not go with another setting
    }
    ++taken;
    ExpectPlan(config);
  }
  EXPECT_GT(taken, 40);
}

TEST(Settings, ExamplesAndProfilesPassWithoutANote) {
  for (const std::string& name : ListFolder(GROUPER_EXAMPLES)) {
    if (!name.ends_with(".textproto")) continue;
    SCOPED_TRACE(name);
    Config config;
    MergeTextprotoFile(JoinPath(GROUPER_EXAMPLES, name), &config);
    ApplyProfile(&config);
    if (config.has_sft()) {
      EXPECT_NO_THROW(CheckSftConfig(config));
      continue;
    }
    EXPECT_NO_THROW(CheckTrainConfig(config));
    EXPECT_EQ(SettingNotes(config), std::vector<std::string>{});
  }
  for (const std::string& profile : ProfileNames()) {
    SCOPED_TRACE(profile);
    Config config = Base("prompts_per_step: 16 profile: \"" + profile + "\"");
    config.mutable_sampling()->clear_length_schedule();
    ApplyProfile(&config);
    EXPECT_NO_THROW(CheckTrainConfig(config));
    config.set_steps(1000);
    EXPECT_EQ(SettingNotes(config), std::vector<std::string>{});
  }
  for (const QuickstartStage stage : {QuickstartStage::kBase, QuickstartStage::kSft}) {
    for (const bool smoke : {false, true}) CheckSftConfig(QuickstartConfig(stage, 1, smoke));
  }
  for (const bool smoke : {false, true}) {
    EXPECT_NO_THROW(CheckTrainConfig(QuickstartConfig(QuickstartStage::kRl, 1, smoke)));
  }
  EXPECT_EQ(SettingNotes(QuickstartConfig(QuickstartStage::kRl, 1, false)),
            std::vector<std::string>{});
}

struct Refusal {
  const char* text;   // over the base
  const char* words;  // of the message
};

// The service would refuse the first ones only when it is asked to score.
constexpr Refusal kRefusals[] = {
    {"reward { rubric { name: 'b' component { name: 'acuracy' } } }", "component=acuracy"},
    {"reward { rubric { name: 'b' component { name: 'accuracy' weight: nan } } }", "weight=nan"},
    {"reward { rubric { name: 'b' component { name: 'overlong' max_tokens: 4 ramp_tokens: 5 } } }",
     "ramp_tokens=5 max_tokens=4"},
    {"reward { rubric { name: 'b' component { name: 'accuracy' gate: 'format' } } }",
     "gate=format"},
    {"reward { rubric { component { name: 'accuracy' } } }", "the same name"},
    {"reward { rubric { name: 'b' } }", "no component"},
    {"data { eval: 'tasks:calc,fit' }", "missing_rubric=calc"},
    {"data { tokenizer: 'word' }", "data.tokenizer"},
    {"sampling { stop_tokens: 'two' }", "sampling.stop_tokens"},
    {"policy { vocab_size: 7 }", "policy.vocab_size"},
    {"policy { attention { head_dim: 15 } }", "head_dim"},
    {"rollout { kv_cache_bytes: 20000 }", "rollout.kv_cache_bytes"},
    {"eval { temperature: 0 }", "eval.samples=4"},
    {"eval { max_new_tokens: 64 }", "eval.max_new_tokens"},
    {"prompts_per_step: 1048576 group_size: 65536 policy { max_positions: 4194304 }",
     "prompts_per_step"},
    {"policy { width: 1048576 layers: 1024 moe { width: 1048576 experts: 256 } }", "parameters"},
    {"loss { kl_beta: 0.1 }", "loss.kl_beta"},
    {"loss { kl_place: IN_REWARD kl_clamp_in: 3 }", "loss.kl_place, loss.kl_clamp_in"},
    {"profile: 'dapo' batch { minibatches: 1 } loss { kl_unbiased: true }", "loss.kl_unbiased"},
};

TEST(Settings, WhatDoesNotGoTogetherIsRefusedBeforeAnythingIsWritten) {
  for (const Refusal& row : kRefusals) {
    SCOPED_TRACE(row.text);
    Config config = Base(row.text);
    ApplyProfile(&config);
    const std::string message = UserErrorOf([&] { CheckTrainConfig(config); });
    EXPECT_NE(message.find(row.words), std::string::npos) << message;
  }
  Config none = Base();
  none.mutable_reward()->clear_rubric();
  EXPECT_NE(UserErrorOf([&] { CheckTrainConfig(none); }).find("reward.rubric is empty"),
            std::string::npos);
}

}  // namespace
}  // namespace grouper
