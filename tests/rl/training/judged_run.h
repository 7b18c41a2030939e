// A small training run whose completions are judged by a function of the test: the shrunk
// quickstart on two questions, its reward service in the same process.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/io/file.h"
#include "proto/textproto.h"
#include "reward/scorer.h"
#include "reward/service/service.h"
#include "rl/command/quickstart_config.h"
#include "rl/training/trainer.h"
#include "tests/testing/fake_grader.h"
#include "tests/testing/temp_folder.h"
#include "trace/store/digest.h"
#include "trace/store/trace_reader.h"

namespace grouper::testing {

inline std::vector<Group> Traced(const std::string& run) {
  TraceReader reader(run);
  std::vector<Group> groups;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    groups.push_back(entry.group);
    return true;
  });
  return groups;
}

class JudgedRunTest : public ::testing::Test {
 protected:
  // `right` says which completions are; threads of the service call it.
  explicit JudgedRunTest(std::function<bool(const reward::v1::ScoreItem&)> right)
      : grader_([this, right](const reward::v1::ScoreItem& item, const GradeBudget&) {
          ++asked_;
          return Judged(right(item) ? reward::v1::ScoreResult::CORRECT
                                    : reward::v1::ScoreResult::WRONG);
        }),
        scorer_(&grader_, nullptr),
        service_(&scorer_, {}) {
    config_ = QuickstartConfig(QuickstartStage::kRl, 7, true);
    config_.mutable_data()->set_train(folder_.Write(
        "rows.jsonl",
        "{\"question\":\"1+1=\",\"answer\":\"2\"}\n{\"question\":\"2+3=\",\"answer\":\"5\"}\n"));
    config_.mutable_data()->set_tokenizer("bytes");
    config_.mutable_data()->set_eval("");
    config_.mutable_reward()->clear_rubric();
    MergeTextproto(
        R"(reward { rubric { name: "calc" extraction: WHOLE component { name: "accuracy" } } })",
        "test", &config_);
    config_.mutable_reward()->add_addresses(service_.address());
  }

  std::string Folder(const std::string& name) const { return JoinPath(folder_.path(), name); }
  TrainResult Run(const std::string& run, TrainOptions options = {}, int threads = 1) {
    options.check_tasks = false;  // the grader of the test knows no golds
    Trainer trainer(config_, run, {.threads = threads}, options);
    return trainer.Run({});
  }
  // Ends as a kill would behind the progress line of `step`, before a checkpoint.
  void RunUntil(const std::string& run, int64_t step) {
    struct Killed {};
    TrainOptions options;
    options.print = [start = "[T] step " + std::to_string(step) + " "](const std::string& line) {
      if (line.rfind(start, 0) == 0) throw Killed();
    };
    EXPECT_THROW(Run(run, options), Killed);
  }
  // Of everything but the times that scoring took.
  static std::string Digest(const std::string& run) {
    TraceDigest digest;
    for (const Group& group : Traced(run)) digest.Add(group);
    return digest.FinishHex();
  }

  testing_support::TempFolder folder_;
  std::atomic<int64_t> asked_ = 0;
  FakeGrader grader_;
  Scorer scorer_;
  RewardService service_;
  Config config_;
};

}  // namespace grouper::testing
