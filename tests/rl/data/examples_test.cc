// The configs of examples/ load unchanged. One that names a file is given rows of our own, as
// long as the longest of GSM8K.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/io/file.h"
#include "proto/textproto.h"
#include "rl/data/document_set.h"
#include "rl/data/prompt_set.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

// GSM8K: the longest question has 991 bytes.
constexpr size_t kLongestQuestion = 991;

std::vector<std::string> Configs() {
  std::vector<std::string> names;
  for (const std::string& name : ListFolder(GROUPER_EXAMPLES)) {
    if (name.ends_with(".textproto")) names.push_back(name);
  }
  return names;
}

Config Load(const std::string& name) {
  Config config;
  MergeTextprotoFile(JoinPath(GROUPER_EXAMPLES, name), &config);
  return config;
}

bool NamesAFile(const std::string& path) { return !path.empty() && path.rfind("tasks:", 0) != 0; }

// For `grouper sft`; the others are for `grouper train`.
bool IsSupervised(const Config& config) { return config.has_sft(); }

// data.train and data.eval with rows in the format of GSM8K in the place of files.
Config WithRows(Config config, const TempFolder& folder) {
  const std::string rows =
      "{\"question\":\"2+3?\",\"answer\":\"2+3=5\\n#### 5\"}\n{\"question\":\"" +
      std::string(kLongestQuestion, 'q') + "\",\"answer\":\"#### 1,234\"}\n";
  DataConfig* data = config.mutable_data();
  if (NamesAFile(data->train())) data->set_train(folder.Write("train.jsonl", rows));
  if (NamesAFile(data->eval())) data->set_eval(folder.Write("eval.jsonl", rows));
  return config;
}

TEST(Examples, HoldTheStagesOfTheQuickstart) {
  const std::vector<std::string> names = Configs();
  for (const char* stage : {"base", "sft", "rl"}) {
    const std::string name = std::string("quickstart_") + stage + ".textproto";
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
}

TEST(Examples, LoadWithDataThatFits) {
  for (const std::string& name : Configs()) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    const Config config = WithRows(Load(name), folder);
    const auto tokenizer = Tokenizer::Make(config.data().tokenizer());
    if (IsSupervised(config)) {
      const DocumentSet documents(config, *tokenizer);
      EXPECT_GT(documents.size(), 1);
      EXPECT_EQ(documents.skipped(), 0);
      continue;
    }
    std::vector<std::string> rubrics;
    for (const Rubric& rubric : config.reward().rubric()) rubrics.push_back(rubric.name());
    const PromptSet prompts(config, *tokenizer);
    EXPECT_EQ(prompts.skipped(), 0);
    std::vector<Prompt> all = prompts.EvalPrompts(config.eval().questions());
    for (uint64_t i = 0; i < 64; ++i) all.push_back(prompts.At(i));
    for (const Prompt& prompt : all) {
      EXPECT_EQ(std::count(rubrics.begin(), rubrics.end(), prompt.rubric()), 1) << prompt.rubric();
      EXPECT_LE(prompt.ids_size() + config.sampling().max_new_tokens(),
                config.policy().max_positions());
    }
  }
}

TEST(Examples, TheQuickstartScoresAccuracyOnlyWithTheFormat) {
  const Config config = Load("quickstart_rl.textproto");
  ASSERT_EQ(config.reward().rubric_size(), 2);
  for (const Rubric& rubric : config.reward().rubric()) {
    EXPECT_EQ(rubric.extraction(), Rubric::ANSWER_TAG);
    EXPECT_TRUE(rubric.think_required());
    double accuracy = 0, format = 0;
    for (const Component& component : rubric.component()) {
      if (component.name() == "format") format = component.weight();
      if (component.name() != "accuracy") continue;
      accuracy = component.weight();
      EXPECT_EQ(component.gate(), "format");
    }
    EXPECT_EQ(accuracy, 1);
    EXPECT_EQ(format, 0.1);
  }
}

TEST(Examples, AColdStartHasThePolicyAndTextOfItsTraining) {
  int pairs = 0;
  for (const std::string& name : Configs()) {
    const size_t at = name.rfind("_sft.textproto");
    if (at == std::string::npos) continue;
    const std::string stem = name.substr(0, at);
    const bool is_quickstart = stem == "quickstart";
    const Config sft = Load(name), rl = Load(stem + (is_quickstart ? "_rl" : "") + ".textproto");
    EXPECT_EQ(ToTextproto(sft.policy()), ToTextproto(rl.policy())) << name;
    EXPECT_EQ(sft.data().prompt_template(), rl.data().prompt_template()) << name;
    EXPECT_EQ(sft.data().tokenizer(), rl.data().tokenizer()) << name;
    ++pairs;
  }
  EXPECT_GE(pairs, 1);
}

}  // namespace
}  // namespace grouper
