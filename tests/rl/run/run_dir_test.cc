// A run folder on its own: one owner, which checkpoints are kept, and which one a resume takes.
#include "rl/run/run_dir.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "proto/config.pb.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"
#include "trace/store/segment.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;
using Names = std::vector<std::string>;

class RunDirTest : public ::testing::Test {
 protected:
  RunDirTest()
      : policy_(testing::ParsePolicy("vocab_size: 5 width: 4 layers: 1 max_positions: 8 "
                                     "attention { heads: 1 kv_heads: 1 head_dim: 4 } "
                                     "dense_width: 4 moe { experts: 0 }"),
                DType::kFloat32) {}

  // Weights alone; the offsets are 10 bytes a step.
  void Save(const RunDir& run, int64_t step) {
    for (const char* name : {"metrics.jsonl", "events.out.tfevents.1.host.2.0"}) {
      folder_.Write(name, std::string(static_cast<size_t>(10 * step), 'x'));
    }
    std::filesystem::create_directories(FolderOf(LearnerSegmentPath(run.path())));
    folder_.Write("traces/learner/seg-00000.gtr", std::string(static_cast<size_t>(10 * step), 'x'));
    Manifest manifest;
    manifest.set_step(step);
    manifest.set_metrics_bytes(static_cast<uint64_t>(10 * step));
    manifest.set_events_bytes(static_cast<uint64_t>(10 * step));
    manifest.set_trace_bytes(static_cast<uint64_t>(10 * step));
    SaveCheckpoint(run.CheckpointFolder(step), policy_, nullptr, manifest);
  }
  void SaveAll(const RunDir& run, int64_t steps) {
    for (int64_t step = 1; step <= steps; ++step) Save(run, step);
  }
  // One bit in the middle of the weights.
  void Damage(const RunDir& run, int64_t step) {
    const std::string path = JoinPath(run.CheckpointFolder(step), "model.safetensors");
    std::string bytes = ReadFile(path, "model");
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 16);
    PublishFile(path, bytes);
  }
  Names Checkpoints() const { return ListFolder(JoinPath(folder_.path(), "checkpoints")); }
  // What the call writes to the log.
  template <typename Call>
  static std::string LogOf(const Call& call) {
    ::testing::internal::CaptureStderr();
    call();
    return ::testing::internal::GetCapturedStderr();
  }
  static int Count(const std::string& text, const std::string& word) {
    int count = 0;
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      ++count;
    }
    return count;
  }

  TempFolder folder_;
  Policy policy_;
};

TEST_F(RunDirTest, TheLastThreeAndEveryKthAreKept) {
  RunDir run(folder_.path());
  SaveAll(run, 9);
  run.Tidy(3, 4);
  EXPECT_EQ(Checkpoints(),
            (Names{"step-00000004", "step-00000007", "step-00000008", "step-00000009"}));
  Save(run, 10);
  run.Tidy(3, 4);
  EXPECT_EQ(Checkpoints(),
            (Names{"step-00000004", "step-00000008", "step-00000009", "step-00000010"}));
  run.Tidy(3, 0);
  EXPECT_EQ(Checkpoints(), (Names{"step-00000008", "step-00000009", "step-00000010"}));
}

TEST_F(RunDirTest, HalfWrittenOnesAreSwept) {
  RunDir run(folder_.path());
  Save(run, 1);
  for (const char* name : {"step-00000002.tmp", "step-00000001.old.tmp"}) {
    MakeFolders(JoinPath(JoinPath(folder_.path(), "checkpoints"), name));
    folder_.Write(std::string("checkpoints/") + name + "/model.safetensors", "half");
  }
  EXPECT_EQ(run.NewestCheckpoint()->manifest.step(), 1) << "a temporary folder is no checkpoint";
  run.Tidy(3, 0);
  EXPECT_EQ(Checkpoints(), Names{"step-00000001"});
}

TEST_F(RunDirTest, AnInvalidOneIsReportedOnceAndTheNextOlderUsed) {
  RunDir run(folder_.path());
  EXPECT_FALSE(run.NewestCheckpoint().has_value());
  SaveAll(run, 4);
  EXPECT_EQ(run.NewestCheckpoint()->manifest.step(), 4);
  Damage(run, 4);
  std::filesystem::remove(run.CheckpointFolder(3) + "/MANIFEST");
  const std::string log = LogOf([&] {
    for (int i = 0; i < 2; ++i) {
      const auto found = run.NewestCheckpoint();
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->folder, run.CheckpointFolder(2));
      EXPECT_EQ(found->manifest.step(), 2);
    }
  });
  EXPECT_EQ(Count(log, "checkpoint step-00000004 is not valid"), 1) << log;
  EXPECT_EQ(Count(log, "checkpoint step-00000003 is not valid"), 1) << log;
  EXPECT_EQ(Count(log, "SHA-256"), 1) << log;
  EXPECT_EQ(Count(log, "MANIFEST"), 1) << log;
  Damage(run, 1);
  Damage(run, 2);
  LogOf([&] {
    const std::string words = UserErrorOf([&] { run.NewestCheckpoint(); });
    EXPECT_NE(words.find(folder_.path()), std::string::npos) << words;
    EXPECT_NE(words.find("start anew in another folder"), std::string::npos) << words;
  });
}

// Files that are cut back to a checkpoint's offsets must reach them.
TEST_F(RunDirTest, ACheckpointThatTheRunsFilesDoNotReachIsPassedOver) {
  const std::string names[] = {"metrics.jsonl", "events.out.tfevents.1.host.2.0",
                               "traces/learner/seg-00000.gtr"};
  for (const std::string& name : names) {
    RunDir run(folder_.path());
    SaveAll(run, 3);
    const std::string path = JoinPath(folder_.path(), name);
    std::filesystem::resize_file(path, 29);
    const std::string log = LogOf([&] {
      RunDir::Found found = run.NewestCheckpoint().value();
      EXPECT_EQ(found.manifest.step(), 2) << name;
    });
    EXPECT_EQ(Count(log, "step-00000003"), 1) << log;
    EXPECT_NE(log.find("shorter than when the checkpoint was made: file=" + path),
              std::string::npos)
        << log;
    EXPECT_NE(log.find("bytes=29 bytes_needed=30"), std::string::npos) << log;
    std::filesystem::remove(path);
    const std::string gone = LogOf([&] { UserErrorOf([&] { run.NewestCheckpoint(); }); });
    EXPECT_NE(gone.find("a file of the run is missing: file="), std::string::npos) << gone;
    EXPECT_NE(gone.find(name.substr(0, 10)), std::string::npos) << gone;
  }
}

TEST_F(RunDirTest, TheOneThatWasVerifiedLastIsNeverRemoved) {
  RunDir run(folder_.path());
  SaveAll(run, 8);
  for (int64_t step : {3, 4, 5, 6, 7, 8}) Damage(run, step);
  LogOf([&] {
    EXPECT_EQ(run.NewestCheckpoint()->manifest.step(), 2);
    run.Tidy(1, 0);
  });
  EXPECT_EQ(Checkpoints(),
            (Names{"step-00000002", "step-00000003", "step-00000004", "step-00000005",
                   "step-00000006", "step-00000007", "step-00000008"}))
      << "bad ones that are newer are left for a person to look at";
  // If the newest checkpoint is bad, a save removes nothing, because only the older ones are left.
  Save(run, 9);
  Damage(run, 9);
  LogOf([&] { run.Tidy(1, 0); });
  EXPECT_EQ(Checkpoints().size(), 8u);
  EXPECT_EQ(run.NewestCheckpoint()->manifest.step(), 2);
}

TEST_F(RunDirTest, ABadOneThatWasMadeAnewIsAsGoodAsAny) {
  RunDir run(folder_.path());
  SaveAll(run, 6);
  Damage(run, 5);
  Damage(run, 6);
  LogOf([&] { EXPECT_EQ(run.NewestCheckpoint()->manifest.step(), 4); });
  for (int64_t step : {5, 6}) {
    Save(run, step);
    run.Tidy(3, 0);
  }
  EXPECT_EQ(Checkpoints(), (Names{"step-00000004", "step-00000005", "step-00000006"}));
}

TEST_F(RunDirTest, ASecondOwnerIsRefusedWithinASecond) {
  auto first = std::make_unique<RunDir>(folder_.path());
  const auto begin = std::chrono::steady_clock::now();
  const std::string words = UserErrorOf([&] { RunDir(folder_.path()); });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 1.0);
  EXPECT_NE(words.find("pid " + std::to_string(getpid())), std::string::npos) << words;
  EXPECT_NE(words.find("another folder"), std::string::npos) << words;
  first.reset();
  EXPECT_NO_THROW(RunDir(folder_.path()));
}

TEST_F(RunDirTest, OnlySettingsThatChangeNoBitMayDiffer) {
  const RunDir run(folder_.path());
  Config config;
  MergeTextproto("steps: 3 optimizer { lr: 0.5 } reward { addresses: \"a:1\" }", "test", &config);
  run.StoreConfig(ToTextproto(config), false);
  Config longer = config;
  MergeTextproto(
      "steps: 9 checkpoint_every: 2 checkpoint_keep_every: 4 disk_wait_seconds: 7 "
      "reward { addresses: \"b:2\" deadline_seconds: 3 max_wait_seconds: 5 service_threads: 1 "
      "min_isolation: NAMESPACES allow_unjudged: true } "
      "rollout { kv_cache_bytes: 9 } batch { max_tokens_per_micro_batch: 4 } data { eval: \"x\" } "
      "eval { samples: 2 } sft { steps: 8 } dynamic_sampling { max_rounds: 3 }",
      "test", &longer);
  EXPECT_NO_THROW(run.StoreConfig(ToTextproto(longer), true));
  EXPECT_NE(ReadFile(run.File("config.textproto"), "t").find("steps: 9"), std::string::npos);
  Config other = longer;
  other.mutable_optimizer()->set_lr(0.25);
  const std::string words = UserErrorOf([&] { run.StoreConfig(ToTextproto(other), true); });
  EXPECT_NE(words.find("lr: 0.5"), std::string::npos) << words;
  EXPECT_NE(words.find("lr: 0.25"), std::string::npos) << words;
  EXPECT_NE(ReadFile(run.File("config.textproto"), "t").find("lr: 0.5"), std::string::npos);
  EXPECT_NO_THROW(run.StoreConfig(ToTextproto(other), false)) << "nothing was done yet";
}

// A run that was killed before its first checkpoint has made checkpoints/, so its files are its
// own.
TEST_F(RunDirTest, FilesOfSomebodyElseAreNeverOverwritten) {
  for (const char* name : {"metrics.jsonl", "events.out.tfevents.1.host.2.0",
                           "traces/learner/seg-00000.gtr", "config.textproto", "result.json"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    MakeFolders(JoinPath(folder.path(), "traces/learner"));
    if (std::string(name).find('/') == std::string::npos) RemoveTree(folder.path() + "/traces");
    folder.Write(name, "foreign");
    for (int i = 0; i < 2; ++i) {
      const std::string words = UserErrorOf([&] { RunDir(folder.path()); });
      EXPECT_NE(words.find(std::string(name).substr(0, 6)), std::string::npos) << words;
      EXPECT_NE(words.find("--run"), std::string::npos) << words;
    }
    EXPECT_EQ(ReadFile(JoinPath(folder.path(), name), "t"), "foreign");
    MakeFolders(JoinPath(folder.path(), "checkpoints"));
    EXPECT_NO_THROW(RunDir(folder.path()));
  }
}

TEST_F(RunDirTest, ACheckpointIsResolvedFromItsRunOrFromItself) {
  {
    const RunDir run(folder_.path());
    SaveAll(run, 3);
    EXPECT_EQ(ResolveCheckpoint(run.CheckpointFolder(2)), run.CheckpointFolder(2));
    EXPECT_EQ(ResolveCheckpoint(folder_.path()), run.CheckpointFolder(3)) << "also while it runs";
    Damage(run, 3);
    LogOf([&] { EXPECT_EQ(ResolveCheckpoint(folder_.path()), run.CheckpointFolder(2)); });
    // One that was named itself is verified when it is loaded.
    const std::string third = ResolveCheckpoint(run.CheckpointFolder(3));
    const std::string words = UserErrorOf([&] { LoadCheckpoint(third, &policy_, nullptr); });
    EXPECT_NE(words.find("model.safetensors"), std::string::npos) << words;
    UserErrorOf([&] { ResolveCheckpoint(JoinPath(folder_.path(), "none")); });
    UserErrorOf([&] { ResolveCheckpoint(JoinPath(folder_.path(), "traces")); });
  }
}

}  // namespace
}  // namespace grouper
