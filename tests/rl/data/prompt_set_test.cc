#include "rl/data/prompt_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/digest.h"
#include "base/error.h"
#include "rl/data/tasks.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

class PromptSetTest : public testing::Test {
 protected:
  PromptSetTest() {
    config_.set_seed(5);
    config_.mutable_data()->set_tokenizer("bytes");
    config_.mutable_data()->set_gold_after("####");
    config_.mutable_data()->set_eval("");
    config_.mutable_policy()->set_max_positions(256);
    config_.mutable_sampling()->set_max_new_tokens(16);
    config_.mutable_reward()->add_rubric()->set_name("gsm8k");
  }

  // Rows 0..n-1 whose gold is their number.
  static std::string Rows(int n) {
    std::string text;
    for (int i = 0; i < n; ++i) {
      text += "{\"question\":\"q" + std::to_string(i) + "\",\"answer\":\"work\\n#### " +
              std::to_string(i) + "\"}\n";
    }
    return text;
  }
  PromptSet Open(const std::string& text) {
    config_.mutable_data()->set_train(folder_.Write("train.jsonl", text));
    return PromptSet(config_, *tokenizer_);
  }
  Prompt Only(const std::string& row) { return Open(row + "\n").At(0); }
  std::string Refusal(const std::string& text) {
    return UserErrorOf([&] { Open(text); });
  }

  TempFolder folder_;
  Config config_;
  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::Make("bytes");
};

TEST_F(PromptSetTest, EveryEpochIsAnotherPermutation) {
  const PromptSet set = Open(Rows(50));
  ASSERT_EQ(set.rows(), 50);
  std::vector<std::vector<int>> epochs;
  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int> order;
    for (uint64_t i = 0; i < 50; ++i) {
      const Prompt prompt = set.At(epoch * 50 + i);
      EXPECT_EQ(prompt.ordinal(), epoch * 50 + i);
      order.push_back(std::stoi(prompt.math().golds(0)));
    }
    std::vector<int> sorted = order, all(50);
    std::sort(sorted.begin(), sorted.end());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(sorted, all);
    EXPECT_NE(order, all);
    for (const std::vector<int>& earlier : epochs) EXPECT_NE(order, earlier);
    epochs.push_back(order);
  }
  config_.set_seed(6);
  const PromptSet other = Open(Rows(50));
  std::vector<int> order;
  for (uint64_t i = 0; i < 50; ++i) order.push_back(std::stoi(other.At(i).math().golds(0)));
  EXPECT_NE(order, epochs[0]);
}

TEST_F(PromptSetTest, APromptDependsOnItsOrdinalAlone) {
  const PromptSet set = Open(Rows(7));
  std::vector<std::string> prompts;
  for (uint64_t i = 0; i < 30; ++i) prompts.push_back(set.At(i).SerializeAsString());
  for (uint64_t i = 30; i-- > 0;) {
    EXPECT_EQ(PromptSet(config_, *tokenizer_).At(i).SerializeAsString(), prompts[i]);
    EXPECT_EQ(set.At(i).SerializeAsString(), prompts[i]);
  }
}

TEST_F(PromptSetTest, ReadsARowOfGsm8k) {
  config_.mutable_data()->set_prompt_template("Q: {question}\nA: ");
  const Prompt prompt =
      Only("{\"question\":\"How {question} much?\",\"answer\":\"#### 9 no\\n#### 1,234 \\n\"}");
  EXPECT_EQ(prompt.text(), "Q: How {question} much?\nA: ");
  ASSERT_EQ(prompt.math().golds_size(), 1);
  EXPECT_EQ(prompt.math().golds(0), "1,234");
  EXPECT_EQ(prompt.rubric(), "gsm8k");
  EXPECT_EQ(prompt.task_id(), "train.jsonl:1");
  EXPECT_EQ(prompt.data_source(), "train.jsonl");
  ASSERT_EQ(prompt.ids_size(), 1 + static_cast<int>(prompt.text().size()));
  EXPECT_EQ(prompt.ids(0), static_cast<uint32_t>(tokenizer_->bos()));
  EXPECT_EQ(prompt.ids(1), uint32_t{'Q'});
}

TEST_F(PromptSetTest, ReadsOtherFieldsAndListedGolds) {
  config_.mutable_data()->set_question_field("problem");
  config_.mutable_data()->set_answer_field("solution");
  config_.mutable_data()->clear_gold_after();
  EXPECT_EQ(Only("{\"problem\":\"p\",\"solution\":\" x*2 \"}").math().golds(0), "x*2");
  const Prompt listed = Only("{\"problem\":\"p\",\"golds\":[\"1/2\",\" 0.5\"]}");
  ASSERT_EQ(listed.math().golds_size(), 2);
  EXPECT_EQ(listed.math().golds(0), "1/2");
  EXPECT_EQ(listed.math().golds(1), "0.5");
  // Golds go before the answer field.
  EXPECT_EQ(Only("{\"problem\":\"p\",\"golds\":[\"7\"],\"solution\":\"8\"}").math().golds(0), "7");
}

TEST_F(PromptSetTest, AQuestionNeverBecomesASpecialToken) {
  const Prompt prompt =
      Only("{\"question\":\"<think>5</think><answer>5</answer><eos>\",\"golds\":[\"5\"]}");
  for (int i = 1; i < prompt.ids_size(); ++i) EXPECT_LT(prompt.ids(i), 256u);
  tokenizer_ = Tokenizer::Make("words");
  const std::string message = Refusal("{\"question\":\"<think>5\",\"golds\":[\"5\"]}\n");
  EXPECT_NE(message.find("train.jsonl:1: "), std::string::npos) << message;
  EXPECT_NE(message.find("no token"), std::string::npos) << message;
}

TEST_F(PromptSetTest, CountsLinesAsAnEditorDoes) {
  const PromptSet set = Open(
      "\n  \n{\"question\":\"a\",\"golds\":[\"1\"]}\r\n\r\n{\"question\":\"b\",\"golds\":[\"2\"]}");
  ASSERT_EQ(set.rows(), 2);
  std::vector<std::string> ids = {set.At(0).task_id(), set.At(1).task_id()};
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, (std::vector<std::string>{"train.jsonl:3", "train.jsonl:5"}));
}

struct BadRow {
  const char* name;
  std::string row;
  const char* words;
};

std::vector<BadRow> BadRows() {
  return {
      {"NoJson", "no json", "byte"},
      {"CutObject", "{\"question\":\"q\"", "byte"},
      {"FieldTwice", "{\"question\":\"q\",\"question\":\"q\",\"answer\":\"#### 1\"}", "twice"},
      {"NotUtf8", "{\"question\":\"\xFF\",\"answer\":\"#### 1\"}", "byte"},
      {"AList", "[1]", "object"},
      {"AZeroByte", std::string("{\"question\":\"q\",\"golds\":[\"1\"]}\0{}", 33), "zero byte"},
      {"DeepList", std::string(100'000, '['), "deeper"},
      {"DeepField", "{\"question\":" + std::string(100'000, '[') + "}", "deeper"},
      {"NoQuestion", "{\"answer\":\"#### 1\"}", "\"question\" is missing"},
      {"NumberAsQuestion", "{\"question\":7,\"answer\":\"#### 1\"}", "\"question\" must be a text"},
      {"NullAsQuestion", "{\"question\":null,\"answer\":\"#### 1\"}",
       "\"question\" must be a text"},
      {"BlankQuestion", "{\"question\":\" \\n\",\"answer\":\"#### 1\"}", "\"question\" is empty"},
      {"NoAnswer", "{\"question\":\"q\"}", "\"answer\" is missing"},
      {"NumberAsAnswer", "{\"question\":\"q\",\"answer\":1}", "\"answer\" must be a text"},
      {"NoMark", "{\"question\":\"q\",\"answer\":\"1\"}",
       "does not contain data.gold_after: data.gold_after=####"},
      {"NothingAfterTheMark", "{\"question\":\"q\",\"answer\":\"1 #### \\n\"}", "no gold"},
      {"TextAsGolds", "{\"question\":\"q\",\"golds\":\"1\"}", "list"},
      {"NoGolds", "{\"question\":\"q\",\"golds\":[]}", "list"},
      {"NumberAsGold", "{\"question\":\"q\",\"golds\":[1]}", "not a text"},
      {"BlankGold", "{\"question\":\"q\",\"golds\":[\" \"]}", "empty"},
      {"TooLong", "{\"question\":\"" + std::string(240, 'q') + "\",\"answer\":\"#### 1\"}",
       "max_positions"},
  };
}

class BadRowTest : public PromptSetTest, public ::testing::WithParamInterface<BadRow> {};

TEST_P(BadRowTest, IsRefusedByFileAndLine) {
  const std::string message = Refusal(Rows(2) + GetParam().row + "\n" + Rows(1));
  EXPECT_NE(message.find(folder_.path() + "/train.jsonl:3: "), std::string::npos) << message;
  EXPECT_NE(message.find(GetParam().words), std::string::npos) << message;
  EXPECT_LT(message.size(), 500u);
}
INSTANTIATE_TEST_SUITE_P(Row, BadRowTest, ::testing::ValuesIn(BadRows()),
                         [](const auto& row) { return row.param.name; });

TEST_F(PromptSetTest, SkipsAndCountsBadRowsWhenAsked) {
  config_.mutable_data()->set_on_bad(DataConfig::SKIP);
  std::string text = Rows(2);
  for (const BadRow& bad : BadRows()) text += bad.row + "\n";
  const PromptSet set = Open(text + Rows(1));
  EXPECT_EQ(set.rows(), 3);
  EXPECT_EQ(set.skipped(), static_cast<int64_t>(BadRows().size()));
  ASSERT_EQ(set.skip_reasons().size(), kMostReasons);
  for (size_t i = 0; i < kMostReasons; ++i) {
    EXPECT_NE(set.skip_reasons()[i].find("train.jsonl:" + std::to_string(3 + i) + ": "),
              std::string::npos)
        << set.skip_reasons()[i];
  }
  const std::string none = Refusal("{}\n{}\n");
  EXPECT_NE(none.find("no usable row"), std::string::npos) << none;
  EXPECT_NE(none.find("train.jsonl:1: "), std::string::npos) << none;
}

TEST_F(PromptSetTest, TheRestOfALineThatIsTooLongIsNoRow) {
  config_.mutable_data()->set_on_bad(DataConfig::SKIP);
  const std::string row = "{\"question\":\"hidden\",\"golds\":[\"666\"]}";
  const PromptSet set = Open(std::string((size_t{16} << 20) + 1, ' ') + row + "\n" + Rows(1));
  EXPECT_EQ(set.skipped(), 1);
  ASSERT_EQ(set.rows(), 1);
  EXPECT_EQ(set.At(0).task_id(), "train.jsonl:2");
}

// The experts of a prompt lie in one frame with it: 100 layers x 64 experts x 9,000 positions.
TEST_F(PromptSetTest, APromptWhoseGroupNoTraceFrameHoldsIsRefusedWithItsLine) {
  PolicyConfig* policy = config_.mutable_policy();
  policy->set_max_positions(20'000);
  policy->set_layers(100);
  policy->mutable_moe()->set_experts(128);
  policy->mutable_moe()->set_experts_per_token(64);
  const std::string rows =
      Rows(1) + "{\"question\":\"" + std::string(9000, 'q') + "\",\"answer\":\"#### 1\"}\n";
  const std::string words = Refusal(rows);
  EXPECT_NE(words.find("train.jsonl:2"), std::string::npos) << words;
  EXPECT_NE(words.find("frame of the trace"), std::string::npos) << words;
  EXPECT_NE(words.find("prompt_tokens=9001"), std::string::npos) << words;
  policy->mutable_moe()->set_experts_per_token(8);
  EXPECT_EQ(Open(rows).rows(), 2);
}

TEST_F(PromptSetTest, APromptMayFillTheContextToTheLastToken) {
  // <bos>, the question, 16 new tokens: 239 bytes are the most.
  const auto row = [](size_t bytes) {
    return "{\"question\":\"" + std::string(bytes, 'q') + "\",\"golds\":[\"1\"]}\n";
  };
  EXPECT_EQ(Open(row(239)).At(0).ids_size(), 240);
  const std::string message = Refusal(row(240));
  EXPECT_NE(message.find("tokens=257 policy.max_positions=256"), std::string::npos) << message;
  EXPECT_NE(message.find("data.on_bad=SKIP"), std::string::npos) << message;
}

TEST_F(PromptSetTest, ARowNamesItsRubric) {
  for (const char* name : {"second", "third"})
    config_.mutable_reward()->add_rubric()->set_name(name);
  const auto row = [](const std::string& more) {
    return "{\"question\":\"q\",\"golds\":[\"1\"]" + more + "}\n";
  };
  EXPECT_EQ(Open(row("")).At(0).rubric(), "gsm8k") << "the first";
  const std::string named = row(",\"rubric\":\"second\"");
  EXPECT_EQ(Open(named).At(0).rubric(), "second");
  EXPECT_EQ(Open(row("") + named).UnusedRubrics({}), std::vector<std::string>{"third"});
  config_.mutable_data()->set_eval(folder_.Write("test.jsonl", row(",\"rubric\":\"third\"")));
  const PromptSet set = Open(row("") + named);
  const std::vector<Prompt> held_out = set.EvalPrompts(0);
  EXPECT_EQ(held_out.at(0).rubric(), "third");
  EXPECT_EQ(set.UnusedRubrics(held_out), std::vector<std::string>{});
  const std::string bad = Refusal(row("") + row(",\"rubric\":\"forth\""));
  EXPECT_NE(bad.find("train.jsonl:2: field \"rubric\" names no entry"), std::string::npos) << bad;
  EXPECT_NE(Refusal(row(",\"rubric\":3")).find("train.jsonl:1"), std::string::npos);
  config_.mutable_data()->set_rubric_field("");
  EXPECT_EQ(Open(named).At(0).rubric(), "gsm8k") << "the field is not read";
}

TEST_F(PromptSetTest, AFaultOfTheConfigIsNoBadRow) {
  config_.mutable_data()->set_on_bad(DataConfig::SKIP);
  config_.mutable_data()->set_prompt_template("no slot");
  EXPECT_NE(Refusal(Rows(2)).find("data.prompt_template"), std::string::npos);
  config_.mutable_data()->clear_prompt_template();
  config_.mutable_reward()->clear_rubric();
  EXPECT_NE(Refusal(Rows(2)).find("reward.rubric"), std::string::npos);
}

TEST_F(PromptSetTest, RefusesAMissingFileAnEmptyOneAndStandardInput) {
  config_.mutable_data()->set_train(folder_.path() + "/none.jsonl");
  std::string message = UserErrorOf([&] { PromptSet(config_, *tokenizer_); });
  EXPECT_NE(message.find("data.train"), std::string::npos) << message;
  EXPECT_NE(message.find("none.jsonl"), std::string::npos) << message;
  EXPECT_NE(Refusal("").find("no usable row"), std::string::npos);
  config_.mutable_data()->set_train("-");
  message = UserErrorOf([&] { PromptSet(config_, *tokenizer_); });
  EXPECT_NE(message.find("standard input"), std::string::npos) << message;
  config_.mutable_data()->set_train("tasks:chess");
  message = UserErrorOf([&] { PromptSet(config_, *tokenizer_); });
  EXPECT_NE(message.find("tasks:chess"), std::string::npos) << message;
}

TEST_F(PromptSetTest, TakesTheFirstRowsAndTheHashOfTheFile) {
  config_.mutable_data()->set_max_rows(3);
  const std::string text = Rows(9);
  const PromptSet set = Open(text);
  EXPECT_EQ(set.rows(), 3);
  EXPECT_EQ(set.content(), Sha256Hex(text));
  for (uint64_t i = 0; i < 3; ++i) EXPECT_LT(std::stoi(set.At(i).math().golds(0)), 3);
}

TEST_F(PromptSetTest, TasksToCheckAreSpreadOverTheFileInItsOrder) {
  const PromptSet set = Open(Rows(10));
  const auto golds = [&](int64_t most) {
    std::string text;
    for (const Prompt& task : set.TasksToCheck(most)) text += task.math().golds(0) + " ";
    return text;
  };
  EXPECT_EQ(golds(4), "0 2 5 7 ");
  EXPECT_EQ(golds(10), "0 1 2 3 4 5 6 7 8 9 ");
  EXPECT_EQ(golds(1000), golds(10));
  config_.mutable_data()->set_train("tasks:calc,fit");
  EXPECT_EQ(PromptSet(config_, *tokenizer_).TasksToCheck(5).size(), 64u);
}

TEST_F(PromptSetTest, EvaluatesRowsInTheOrderOfTheFile) {
  config_.mutable_data()->set_eval(folder_.Write("test.jsonl", Rows(5)));
  const PromptSet set = Open(Rows(9));
  ASSERT_EQ(set.EvalPrompts(0).size(), 5u);
  const std::vector<Prompt> three = set.EvalPrompts(3);
  ASSERT_EQ(three.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(three[i].ordinal(), i);
    EXPECT_EQ(three[i].task_id(), "test.jsonl:" + std::to_string(i + 1));
    EXPECT_EQ(three[i].math().golds(0), std::to_string(i));
  }
}

TEST_F(PromptSetTest, EvaluatesNothingOrTheGeneratedQuestions) {
  const PromptSet none = Open(Rows(1));
  EXPECT_TRUE(none.EvalPrompts(10).empty());
  config_.mutable_data()->set_eval("tasks:calc,fit");
  const PromptSet set = Open(Rows(1));
  EXPECT_EQ(set.EvalPrompts(0).size(), 200u);
  EXPECT_EQ(set.EvalPrompts(4)[3].SerializeAsString(),
            HeldOutPrompts(4, *tokenizer_)[3].SerializeAsString());
}

TEST_F(PromptSetTest, HoldsOutEveryNthLineAndEvaluatesOnIt) {
  config_.mutable_data()->set_holdout_every(4);
  const std::string text = "\n" + Rows(9);  // row i is on line i + 2
  const PromptSet set = Open(text);
  ASSERT_EQ(set.rows(), 7);
  for (uint64_t i = 0; i < 7; ++i) {
    const std::string gold = set.At(i).math().golds(0);
    EXPECT_TRUE(gold != "2" && gold != "6") << "a held-out row is trained on";
  }
  const std::vector<Prompt> held_out = set.EvalPrompts(0);
  ASSERT_EQ(held_out.size(), 2u);
  EXPECT_EQ(held_out[0].task_id(), "train.jsonl:4");
  EXPECT_EQ(held_out[1].math().golds(0), "6");
  EXPECT_EQ(set.EvalPrompts(1).size(), 1u);
  config_.mutable_data()->set_eval(folder_.Write("test.jsonl", Rows(3)));
  EXPECT_EQ(Open(text).EvalPrompts(0).size(), 3u) << "data.eval goes first";
  config_.mutable_data()->clear_eval();
  config_.mutable_data()->set_eval("");
  EXPECT_TRUE(Open(Rows(3)).EvalPrompts(0).empty()) << "a file shorter than holdout_every";
}

TEST_F(PromptSetTest, GeneratedPromptsHaveNoEnd) {
  config_.mutable_data()->set_train("tasks:calc,fit");
  const PromptSet set(config_, *tokenizer_);
  EXPECT_EQ(set.rows(), 0);
  EXPECT_EQ(set.content(), "tasks:calc,fit");
  EXPECT_EQ(set.At(123456789).SerializeAsString(),
            TrainTaskPrompt(5, 123456789, *tokenizer_).SerializeAsString());
}

}  // namespace
}  // namespace grouper
