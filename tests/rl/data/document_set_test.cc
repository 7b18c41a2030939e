#include "rl/data/document_set.h"

#include <gtest/gtest.h>

#include <map>

#include "base/digest.h"
#include "base/error.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

class DocumentSetTest : public testing::Test {
 protected:
  DocumentSetTest() {
    config_.set_seed(5);
    config_.mutable_policy()->set_max_positions(64);
    config_.mutable_data()->set_prompt_template("Q {question} A ");
  }
  DocumentSet Open(const std::string& text) {
    config_.mutable_data()->set_train(folder_.Write("train.jsonl", text));
    return DocumentSet(config_, *bytes_);
  }
  DocumentSet Generated(const std::string& name) {
    config_.mutable_policy()->set_max_positions(192);
    config_.mutable_data()->set_train(name);
    return DocumentSet(config_, *words_);
  }

  TempFolder folder_;
  Config config_;
  std::unique_ptr<Tokenizer> words_ = Tokenizer::Make("words");
  std::unique_ptr<Tokenizer> bytes_ = Tokenizer::Make("bytes");
};

TEST_F(DocumentSetTest, TheLossIsOnTheAnswerAndTheEnd) {
  const std::string text = "{\"question\":\"a<eos>\",\"answer\":\"b <pad><bos><eos>\"}\n";
  const DocumentSet set = Open(text);
  ASSERT_EQ(set.size(), 1);
  EXPECT_EQ(set.content(), Sha256Hex(text));
  const Document d = set.Batch(0, 1)[0];
  const std::string prompt = "Q a<eos> A ", answer = "b <pad><bos><eos>";
  ASSERT_EQ(d.ids.size(), 1 + prompt.size() + answer.size() + 1);
  EXPECT_EQ(d.ids.front(), bytes_->bos());
  EXPECT_EQ(d.ids.back(), bytes_->eos());
  EXPECT_EQ(bytes_->Decode(std::span(d.ids).subspan(1, d.ids.size() - 2)), prompt + answer);
  for (size_t i = 0; i < d.ids.size(); ++i) {
    EXPECT_EQ(d.loss_mask[i], i > prompt.size() ? 1 : 0) << i;
    if (i > 0 && i + 1 < d.ids.size()) {
      EXPECT_FALSE(bytes_->IsSpecial(d.ids[i])) << i;
    }
  }
}

TEST_F(DocumentSetTest, TagsOfAnAnswerAreTokensAndTagsOfAQuestionAreText) {
  config_.mutable_policy()->set_max_positions(128);
  const std::string text =
      "{\"question\":\"a</think>\",\"answer\":\"<think>b</think><answer>2</answer>\"}\n";
  const Document d = Open(text).Batch(0, 1)[0];
  const size_t prompt = 1 + std::string("Q a</think> A ").size();
  const std::vector<int32_t> answer(d.ids.begin() + static_cast<int64_t>(prompt), d.ids.end());
  EXPECT_EQ(answer,
            (std::vector<int32_t>{bytes_->think(), 'b', bytes_->end_think(), bytes_->answer(), '2',
                                  bytes_->end_answer(), bytes_->eos()}));
  for (size_t i = 1; i < prompt; ++i) EXPECT_FALSE(bytes_->IsSpecial(d.ids[i])) << i;

  config_.mutable_data()->set_tags_as_tokens(false);
  const Document plain = Open(text).Batch(0, 1)[0];
  for (size_t i = 1; i + 1 < plain.ids.size(); ++i) {
    EXPECT_FALSE(bytes_->IsSpecial(plain.ids[i])) << i;
  }
}

TEST_F(DocumentSetTest, SampledTokensAreTakenAsTheyAre) {
  const int32_t think = bytes_->think();
  const std::string ids = "[" + std::to_string(think) + ",52]";
  const Document d =
      Open("{\"question\":\"q\",\"answer\":\"<think>4\",\"answer_ids\":" + ids + "}\n")
          .Batch(0, 1)[0];
  ASSERT_EQ(d.ids.size(), 1 + std::string("Q q A ").size() + 3);
  EXPECT_EQ(d.ids[d.ids.size() - 3], think) << "one token, where the text's encoding has seven";
  EXPECT_EQ(d.ids[d.ids.size() - 2], 52);
  EXPECT_EQ(d.ids.back(), bytes_->eos());
  for (const char* bad : {"[]", "7", "[1.5]", "[-1]", "[100000]", "[52]"}) {
    const std::string message = UserErrorOf([&] {
      Open(std::string("{\"question\":\"q\",\"answer\":\"<think>4\",\"answer_ids\":") + bad +
           "}\n");
    });
    EXPECT_NE(message.find("train.jsonl:1: field \"answer_ids\""), std::string::npos) << message;
    EXPECT_EQ(message.find("train.jsonl:1"), message.rfind("train.jsonl:1")) << message;
  }
}

TEST_F(DocumentSetTest, HeldOutLinesAreNoDocuments) {
  config_.mutable_data()->set_holdout_every(2);
  std::string text;
  for (const char* question : {"x", "y", "z"}) {
    text += std::string("{\"question\":\"") + question + "\",\"answer\":\"1\"}\n";
  }
  const DocumentSet set = Open(text);
  ASSERT_EQ(set.size(), 2);
  for (const Document& d : set.Batch(0, 2)) {
    EXPECT_EQ(bytes_->Decode(d.ids).find('y'), std::string::npos);
  }
}

TEST_F(DocumentSetTest, BatchesAreFunctionsOfTheStepAndEpochsPermutations) {
  std::string text;
  for (int i = 0; i < 10; ++i) {
    text += "{\"question\":\"q\",\"answer\":\"" + std::to_string(i) + "\"}\n";
  }
  const DocumentSet set = Open(text);
  const auto number = [&](const Document& d) {
    return bytes_->Decode({&d.ids[d.ids.size() - 2], 1});
  };
  std::vector<std::string> stream;
  for (int64_t step = 0; step < 10; ++step) {
    for (const Document& d : set.Batch(step, 4)) stream.push_back(number(d));
  }
  for (size_t epoch = 0; epoch < 4; ++epoch) {
    std::map<std::string, int> seen;
    for (size_t i = 0; i < 10; ++i) ++seen[stream[epoch * 10 + i]];
    EXPECT_EQ(seen.size(), 10u) << epoch;
  }
  EXPECT_NE(std::vector<std::string>(stream.begin(), stream.begin() + 10),
            std::vector<std::string>(stream.begin() + 10, stream.begin() + 20));
  // The same documents in other batches, asked for backwards, from a fresh set.
  const DocumentSet again(config_, *bytes_);
  for (int64_t at = 40; at-- > 0;) {
    EXPECT_EQ(number(again.Batch(at, 1)[0]), stream[static_cast<size_t>(at)]) << at;
  }
}

TEST_F(DocumentSetTest, RefusesOrSkipsWhatDoesNotFit) {
  const auto row = [](size_t bytes) {
    return "{\"question\":\"q\",\"answer\":\"" + std::string(bytes, 'a') + "\"}\n";
  };
  // <bos>, 6 bytes of prompt, the answer, <eos>.
  EXPECT_EQ(Open(row(56)).Batch(0, 1)[0].ids.size(), 64u);
  const std::string message = UserErrorOf([&] { Open(row(2) + row(57)); });
  EXPECT_NE(message.find("train.jsonl:2: "), std::string::npos) << message;
  EXPECT_NE(message.find("tokens=65 policy.max_positions=64"), std::string::npos) << message;
  const std::string empty = UserErrorOf([&] { Open("{\"question\":\"q\",\"answer\":\" \"}\n"); });
  EXPECT_NE(empty.find("\"answer\" is empty"), std::string::npos) << empty;
  config_.mutable_data()->set_on_bad(DataConfig::SKIP);
  const DocumentSet set = Open(row(57) + row(2) + "x\n");
  EXPECT_EQ(set.size(), 1);
  EXPECT_EQ(set.skipped(), 2);
  EXPECT_EQ(set.skip_reasons().size(), 2u);
}

TEST_F(DocumentSetTest, ADocumentNeedsNoGold) {
  config_.mutable_data()->set_gold_after("####");
  EXPECT_EQ(Open("{\"question\":\"q\",\"answer\":\"words only\"}\n").size(), 1);
}

TEST_F(DocumentSetTest, MakesTheQuickstartsDocuments) {
  const DocumentSet demonstrations = Generated("tasks:demonstrations");
  EXPECT_EQ(demonstrations.size(), 1500);
  EXPECT_EQ(demonstrations.content(), "tasks:demonstrations");
  // Over one epoch of 1,500 every demonstration comes once.
  std::map<std::vector<int32_t>, int> expected, seen;
  for (uint64_t i = 0; i < 1500; ++i) ++expected[MakeDemonstration(5, i, *words_).document.ids];
  for (int64_t step = 0; step < 50; ++step) {
    for (const Document& d : demonstrations.Batch(step, 30)) ++seen[d.ids];
  }
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(Generated("tasks:base").size(), 20000);
}

TEST_F(DocumentSetTest, RefusesAContextThatGeneratedTextExceeds) {
  config_.mutable_policy()->set_max_positions(16);
  config_.mutable_data()->set_train("tasks:demonstrations");
  const std::string message = UserErrorOf([&] { DocumentSet(config_, *words_); });
  EXPECT_NE(message.find("policy.max_positions"), std::string::npos) << message;
  config_.mutable_data()->set_train("tasks:calc,fit");
  const std::string kind = UserErrorOf([&] { DocumentSet(config_, *words_); });
  EXPECT_NE(kind.find("tasks:demonstrations"), std::string::npos) << kind;
}

}  // namespace
}  // namespace grouper
