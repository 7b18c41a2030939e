// A small hand-made run for the trace tests: two prompts a step, three completions a group, every
// field of a trace set. Header only.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "base/io/file.h"
#include "proto/trace.pb.h"

namespace grouper {

// A folder of its own under the test's temporary folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = testing::TempDir() + "grouper_trace_XXXXXX";
    if (mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "no temporary folder: " << path;
    path_ = path;
  }
  ~TemporaryFolder() { RemoveTree(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr uint32_t kSampleGroupSize = 3;

inline TraceHeader SampleHeader() {
  TraceHeader header;
  header.set_run_id("sample");
  header.set_numeric_profile("cpu-fp32-2");
  header.set_group_size(kSampleGroupSize);
  header.set_seed(7);
  header.set_resolved_config("steps: 4\n");
  return header;
}

// A completion of `text` with one token per byte, and a stop token after them when it is finished.
inline Completion SampleCompletion(uint64_t rollout_id, const std::string& text, bool finished) {
  Completion completion;
  completion.set_rollout_id(rollout_id);
  completion.set_index(static_cast<uint32_t>(rollout_id % kSampleGroupSize));
  completion.set_text(text);
  for (size_t i = 0; i < text.size(); ++i) {
    completion.add_ids(static_cast<uint8_t>(text[i]));
    completion.add_text_ends(static_cast<uint32_t>(i + 1));
  }
  if (finished) {
    completion.add_ids(256);
    completion.add_text_ends(static_cast<uint32_t>(text.size()));
  }
  const int tokens = completion.ids_size();
  for (int i = 0; i < tokens; ++i) {
    completion.add_rollout_log_probs(-0.25f * static_cast<float>(i + 1));
    completion.add_entropies(0.5f * static_cast<float>(i % 4));
    completion.mutable_experts()->append({static_cast<char>(i % 4), 3, 0, 1});
  }
  completion.set_finish_reason(finished ? Completion::STOP : Completion::LENGTH);
  PolicySpan* span = completion.add_spans();
  span->set_end(static_cast<uint32_t>(tokens));
  span->set_policy_version(11);
  span->set_weights_digest(0x1234);
  span->set_sampled(true);
  return completion;
}

// Member 0 right, member 1 wrong and cut by length, member 2 not scored.
inline Group SampleGroup(int64_t step, uint64_t ordinal) {
  Group group;
  group.set_step(step);
  Prompt* prompt = group.mutable_prompt();
  prompt->set_ordinal(ordinal);
  prompt->set_task_id("calc:" + std::to_string(ordinal));
  prompt->set_data_source("calc");
  prompt->set_text("17 + 25 = ?");
  prompt->set_prefill("<think>");
  prompt->set_rubric("math");
  for (const char c : prompt->text()) prompt->add_ids(static_cast<uint8_t>(c));
  prompt->mutable_math()->add_golds("42");
  group.set_prompt_experts(std::string(4, '\2'));
  const uint64_t first = ordinal * kSampleGroupSize;
  *group.add_completions() = SampleCompletion(first, "so \\boxed{42}", true);
  *group.add_completions() = SampleCompletion(first + 1, "hm\nwait", false);
  *group.add_completions() = SampleCompletion(first + 2, "x", true);

  using reward::v1::ScoreResult;
  for (uint64_t i = 0; i < kSampleGroupSize; ++i) {
    ScoreResult* score = group.add_scores();
    score->set_item_id(std::to_string(first + i));
    score->set_grader_version("1");
    score->mutable_timings()->set_score_seconds(0.001);
  }
  ScoreResult* right = group.mutable_scores(0);
  right->set_status(ScoreResult::SCORED);
  right->set_verdict(ScoreResult::CORRECT);
  right->set_reward(1.0);
  right->set_reason("equal");
  (*right->mutable_components())["correct"] = 1.0;
  (*right->mutable_components())["format"] = 0.5;
  right->mutable_extraction()->set_rung("boxed");
  right->mutable_extraction()->set_begin(10);
  right->mutable_extraction()->set_end(12);
  right->mutable_extraction()->set_answer("42");
  ScoreResult* wrong = group.mutable_scores(1);
  wrong->set_status(ScoreResult::SCORED);
  wrong->set_verdict(ScoreResult::NO_ANSWER);
  wrong->set_reward(0.0);
  wrong->set_reason("no_answer");
  ScoreResult* failed = group.mutable_scores(2);
  failed->set_status(ScoreResult::TIMEOUT);
  failed->set_reason("deadline");
  group.add_advantages(0.70710678118654746);
  group.add_advantages(-0.70710678118654746);
  group.add_advantages(0);
  group.set_reward_mean(0.5);
  group.set_reward_std(0.70710678118654757);
  return group;
}

inline std::vector<Group> SampleStep(int64_t step) {
  const auto first = static_cast<uint64_t>(step) * 2;
  return {SampleGroup(step, first), SampleGroup(step, first + 1)};
}

inline StepRecord SampleStepRecord(int64_t step) {
  StepRecord record;
  record.set_step(step);
  record.set_policy_version(static_cast<uint64_t>(step) + 1);
  record.set_checked_tokens(48);
  return record;
}

}  // namespace grouper
