// A run's identity is what decides its bits: data that changed are refused, while what changes no
// bit may change at any start, and what only a new run reads may be gone.
#include <filesystem>

#include "base/digest.h"
#include "base/error.h"
#include "policy/checkpoint/checkpoint.h"
#include "rl/training/sft.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

constexpr const char* kRows =
    "{\"question\":\"1+1=\",\"answer\":\"2\"}\n{\"question\":\"2+3=\",\"answer\":\"5\"}\n";
constexpr const char* kReordered =
    "{\"question\":\"2+3=\",\"answer\":\"5\"}\n{\"question\":\"1+1=\",\"answer\":\"2\"}\n";

class IdentityTest : public testing::JudgedRunTest {
 protected:
  IdentityTest()
      : JudgedRunTest(
            [](const reward::v1::ScoreItem& item) { return Crc32c(item.completion()) % 2 == 0; }) {
    config_.set_steps(4);
    config_.mutable_sft()->set_steps(4);
    config_.mutable_sft()->set_documents_per_step(3);
  }

  TrainResult RunSft(const std::string& run) {
    return SftTrainer(config_, run, {.threads = 1}, {}).Run({});
  }
  TrainResult RunStage(bool sft, const std::string& run) { return sft ? RunSft(run) : Run(run); }
  void SetSteps(int64_t steps) {
    config_.set_steps(steps);
    config_.mutable_sft()->set_steps(steps);
  }
  void WriteRows(const std::string& text) { folder_.Write("rows.jsonl", text); }
  template <typename Call>
  static std::string LogOf(const Call& call) {
    ::testing::internal::CaptureStderr();
    call();
    return ::testing::internal::GetCapturedStderr();
  }
  static void ExpectWords(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << text;
  }
};

TEST_F(IdentityTest, DataThatChangedAreRefusedWithBothHashesAndTheRemedy) {
  for (const bool sft : {false, true}) {
    SCOPED_TRACE(sft ? "sft" : "rl");
    SetSteps(4);
    const std::string name = sft ? "sft" : "rl", run = Folder(name);
    const TrainResult reference = RunStage(sft, Folder("whole-" + name));
    SetSteps(2);
    RunStage(sft, run);
    SetSteps(4);
    for (const std::string& changed :
         {std::string(kReordered),
          kRows + std::string("{\"question\":\"1+2=\",\"answer\":\"3\"}\n")}) {
      WriteRows(changed);
      const std::string words = UserErrorOf([&] { RunStage(sft, run); });
      ExpectWords(words, {"data.train=" + config_.data().train(), Sha256Hex(changed),
                          Sha256Hex(kRows), "put the old file back", "init_from=THIS_RUN"});
    }
    WriteRows(kRows);
    EXPECT_EQ(RunStage(sft, run).weights_sha256, reference.weights_sha256);
  }
}

TEST_F(IdentityTest, TheSameDataAtAnotherPathAreTheSame) {
  const TrainResult reference = Run(Folder("whole"));
  config_.set_steps(2);
  Run(Folder("run"));
  config_.set_steps(4);
  std::filesystem::create_directory(Folder("moved"));
  std::filesystem::rename(config_.data().train(), Folder("moved/rows.jsonl"));
  config_.mutable_data()->set_train(Folder("moved/rows.jsonl"));
  EXPECT_EQ(Run(Folder("run")).weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Digest(Folder("run")), Digest(Folder("whole")));
  config_.mutable_data()->set_train("tasks:calc,fit");
  ExpectWords(UserErrorOf([&] { Run(Folder("run")); }), {"data.train", "tasks:calc,fit"});
}

TEST_F(IdentityTest, WhatOnlyANewRunReadsMayBeGone) {
  RunSft(Folder("first"));
  config_.mutable_sft()->set_steps(5);
  RunSft(Folder("frozen"));
  config_.set_init_from(Folder("first"));
  config_.mutable_reference()->set_init_from(Folder("frozen"));  // a run folder, as for init_from
  config_.mutable_loss()->set_kl(LossConfig::K3);
  config_.mutable_loss()->set_kl_beta(0.1);
  const TrainResult reference = Run(Folder("whole"));
  config_.set_steps(2);
  Run(Folder("run"));
  std::filesystem::rename(Folder("first"), Folder("hidden"));
  std::filesystem::rename(Folder("frozen"), Folder("hidden-frozen"));
  config_.set_steps(4);
  EXPECT_EQ(Run(Folder("run")).weights_sha256, reference.weights_sha256);

  // Other weights are refused, the same ones elsewhere are not, and neither is what is nowhere.
  config_.set_init_from(Folder("hidden-frozen"));
  ExpectWords(UserErrorOf([&] { Run(Folder("run")); }), {"init_from", Folder("hidden-frozen")});
  config_.set_init_from("");
  ExpectWords(UserErrorOf([&] { Run(Folder("run")); }), {"init_from was removed"});
  config_.set_init_from(Folder("hidden"));
  config_.mutable_reference()->set_init_from(Folder("hidden"));
  ExpectWords(UserErrorOf([&] { Run(Folder("run")); }), {"reference.init_from", Folder("hidden")});
  config_.mutable_reference()->set_init_from(Folder("nowhere"));
  const std::string log = LogOf([&] { Run(Folder("run")); });
  ExpectWords(log, {"reference.init_from is not read", Folder("nowhere")});
}

TEST_F(IdentityTest, SettingsOfMemoryAndEvaluationMayChangeAndChangeNoBit) {
  const TrainResult reference = Run(Folder("whole"));
  config_.set_steps(2);
  Run(Folder("run"));
  config_.set_steps(4);
  MergeTextproto(
      "rollout { kv_cache_bytes: 600000 max_running: 3 prefill_tokens: 7 } "
      "batch { max_tokens_per_micro_batch: 40 } eval { samples: 2 greedy: false } eval_every: 1 "
      "sample { samples: 9 } disk_wait_seconds: 1",
      "test", &config_);
  config_.mutable_data()->set_eval(config_.data().train());
  EXPECT_EQ(Run(Folder("run")).weights_sha256, reference.weights_sha256);
  EXPECT_EQ(Digest(Folder("run")), Digest(Folder("whole")));
  config_.mutable_batch()->set_minibatches(2);
  ExpectWords(UserErrorOf([&] { Run(Folder("run")); }), {"line_of_this_config=batch"});
}

TEST_F(IdentityTest, ACheckpointWithoutRecordOfItsDataGoesOnAndSaysSoOnce) {
  const TrainResult reference = Run(Folder("whole"));
  const std::string run = Folder("run");
  config_.set_steps(2);
  Run(run);
  const std::string checkpoint = ResolveCheckpoint(run);
  Manifest manifest = VerifyCheckpoint(checkpoint);
  EXPECT_GT(manifest.input_size(), 0);
  manifest.clear_input();
  StoreManifest(checkpoint, manifest);
  const std::string train = config_.data().train();
  config_.mutable_data()->set_train("tasks:calc,fit");
  Rubric fit = config_.reward().rubric(0);
  fit.set_name("fit");
  *config_.mutable_reward()->add_rubric() = fit;
  ExpectWords(UserErrorOf([&] { Run(run); }), {"data.train has changed"});
  config_.mutable_reward()->mutable_rubric()->RemoveLast();
  config_.mutable_data()->set_train(train);
  const std::string words = "does not say which data";
  config_.set_steps(3);
  ExpectWords(LogOf([&] { Run(run); }), {words});
  config_.set_steps(4);
  const std::string log =
      LogOf([&] { EXPECT_EQ(Run(run).weights_sha256, reference.weights_sha256); });
  EXPECT_EQ(log.find(words), std::string::npos) << log;
}

}  // namespace
}  // namespace grouper
