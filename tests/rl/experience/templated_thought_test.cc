// A prompt template that opens the thought: the graders must count the template's tag as the
// completion's own, or every good completion has format 0 and, behind a gate, reward 0.
#include <gtest/gtest.h>

#include "proto/textproto.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"
#include "rl/data/prompt_set.h"
#include "rl/experience/score_item.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

// The template of DeepSeek-R1-Zero (arXiv:2501.12948, table 1).
constexpr const char* kR1 =
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>. User: {question}. Assistant: <think>";

class TemplatedThoughtTest : public ::testing::Test {
 protected:
  TemplatedThoughtTest() {
    MergeTextproto(R"(
      data { tokenizer: "bytes" eval: "" }
      policy { max_positions: 1024 }
      reward { rubric { name: "r" extraction: ANSWER_TAG think_required: true
                        component { name: "accuracy" gate: "format" }
                        component { name: "format" weight: 0.5 } } })",
                   "test", &config_);
    config_.mutable_data()->set_train(
        folder_.Write("rows.jsonl", "{\"question\":\"1+1\",\"answer\":\"2\"}\n"));
  }

  double Reward(const std::string& prompt_template, const std::string& text) {
    config_.mutable_data()->set_prompt_template(prompt_template);
    const PromptSet prompts(config_, *Tokenizer::Make("bytes"));
    Completion completion;
    completion.set_text(text);
    completion.set_finish_reason(Completion::STOP);
    const MathGrader math;
    return Scorer(&math, nullptr)
        .Score(ScoreItemOf(prompts.At(0), completion, "test"), config_.reward().rubric(0), {})
        .reward();
  }

  testing_support::TempFolder folder_;
  Config config_;
};

TEST_F(TemplatedThoughtTest, AGoodCompletionHasFormatAndPassesItsGate) {
  const std::string good = "one and one</think><answer>2</answer>";
  for (const char* opened : {kR1, "{question}\n<think>\n"}) {
    EXPECT_EQ(Reward(opened, good), 1.5) << opened;
    EXPECT_EQ(Reward(opened, "<think>" + good), 0) << "the tag is there twice: " << opened;
    EXPECT_EQ(Reward(opened, "one and one <answer>2</answer>"), 0) << "never closed: " << opened;
  }
  EXPECT_EQ(Reward("{question}", "<think>" + good), 1.5);
  EXPECT_EQ(Reward("{question}", good), 0) << "nobody opened the thought";
}

}  // namespace
}  // namespace grouper
