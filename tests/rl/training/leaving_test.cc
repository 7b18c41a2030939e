// What a run leaves behind when an error ends it, with checkpoint_every 0: before the first update
// of a step, the state at the step's start; after that, nothing.
#include <bit>
#include <functional>
#include <new>

#include "base/digest.h"
#include "base/error.h"
#include "rl/experience/reward_stage.h"
#include "tests/rl/training/judged_run.h"

namespace grouper {
namespace {

using Names = std::vector<std::string>;

// The test's service, but `fail` is called first for groups that are `bad`.
class FailingScorer final : public GroupScorer {
 public:
  FailingScorer(const RewardConfig& config, std::function<bool(const Group&)> bad,
                std::function<void()> fail)
      : services_(config, "test"), bad_(std::move(bad)), fail_(std::move(fail)) {}

  int64_t Score(std::vector<Group>* groups, const KeptVerdicts* kept,
                std::stop_token stop) override {
    for (const Group& group : *groups) {
      if (bad_(group)) fail_();
    }
    return services_.Score(groups, kept, stop);
  }

 private:
  RewardStage services_;
  std::function<bool(const Group&)> bad_;
  std::function<void()> fail_;
};

// The engine, but `spoil` changes what the call number `call` gives.
class SpoilingGenerator final : public Generator {
 public:
  SpoilingGenerator(int64_t call, std::function<void(Completion*)> spoil)
      : call_(call), spoil_(std::move(spoil)) {}
  bool Generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                std::vector<Group>* groups, std::stop_token stop) override {
    if (!engine->Generate(prompts, options, groups, stop)) return false;
    if (calls_++ == call_) spoil_((*groups)[1].mutable_completions(1));
    return true;
  }
  const GeneratorStats& stats() const override { return engine->stats(); }

  Engine* engine = nullptr;

 private:
  int64_t call_, calls_ = 0;
  std::function<void(Completion*)> spoil_;
};

class LeavingTest : public testing::JudgedRunTest {
 protected:
  LeavingTest()
      : JudgedRunTest(
            [](const reward::v1::ScoreItem& item) { return Crc32c(item.completion()) % 2 == 0; }) {
    config_.set_steps(4);
    config_.set_checkpoint_every(0);
  }
  uint64_t FirstPromptOf(int64_t step) const {
    return static_cast<uint64_t>(step * config_.prompts_per_step());
  }
  static Names Checkpoints(const std::string& run) {
    return ListFolder(JoinPath(run, "checkpoints"));
  }
  void ExpectGoesOn(const std::string& run, const std::string& reference) {
    const TrainResult whole = Run(reference), resumed = Run(run);
    EXPECT_EQ(resumed.weights_sha256, whole.weights_sha256);
    EXPECT_EQ(Digest(run), Digest(reference));
  }
  // The exit code of a run whose generator is not the engine alone.
  int CodeOfSpoiled(const std::string& run, SpoilingGenerator* generator) {
    Trainer trainer(config_, run, {.threads = 1}, {.generator = generator});
    generator->engine = &trainer.session().engine();
    try {
      trainer.Run({});
    } catch (const Error& error) {
      return ExitCode(error.kind());
    }
    return 0;
  }
};

TEST_F(LeavingTest, AnErrorOfAnyKindWhileScoringSavesTheStateAtTheStepsStart) {
  const std::vector<std::function<void()>> failures = {
      [] { ThrowUnavailable("[test] nobody answers"); }, [] { ThrowUser("[test] a bad rubric"); },
      [] { ThrowInternal("[test] our bug"); }, [] { throw std::bad_alloc(); }};
  for (size_t i = 0; i < failures.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string run = Folder("run" + std::to_string(i));
    const auto late = [&](const Group& group) {
      return group.prompt().ordinal() >= FirstPromptOf(2);
    };
    FailingScorer scorer(config_.reward(), late, failures[i]);
    EXPECT_ANY_THROW(Run(run, {.scorer = &scorer}));
    EXPECT_EQ(Checkpoints(run), Names{"step-00000002"});
    ExpectGoesOn(run, Folder("whole" + std::to_string(i)));
  }
}

TEST_F(LeavingTest, AStepThatTheTraceRefusesLeavesNothingInIt) {
  SpoilingGenerator generator(2, [](Completion* c) { c->add_entropies(0); });
  const std::string run = Folder("run");
  EXPECT_EQ(CodeOfSpoiled(run, &generator), 1);
  EXPECT_EQ(Checkpoints(run), Names{"step-00000002"});
  EXPECT_EQ(testing::Traced(run).size(), FirstPromptOf(2)) << "the third step is cut off again";
  ExpectGoesOn(run, Folder("whole"));
}

TEST_F(LeavingTest, AnEvaluationThatNobodyScoresCostsNoStep) {
  config_.mutable_data()->set_eval(config_.data().train());
  config_.set_eval_every(3);
  const std::string run = Folder("run");
  // An evaluation asks for its own number of samples.
  const int samples = static_cast<int>(config_.group_size()) - 1;
  config_.mutable_eval()->set_samples(samples);
  FailingScorer scorer(
      config_.reward(), [&](const Group& group) { return group.completions_size() == samples; },
      [] { ThrowUnavailable("[test] nobody answers"); });
  EXPECT_THROW(Run(run, {.scorer = &scorer}), Error);
  EXPECT_EQ(Checkpoints(run), Names{"step-00000003"});
  ExpectGoesOn(run, Folder("whole"));
}

TEST_F(LeavingTest, NothingIsSavedOfAStepWhoseUpdateFailed) {
  SpoilingGenerator generator(2, [](Completion* c) {
    const uint32_t bits = std::bit_cast<uint32_t>(c->rollout_log_probs(0));
    c->set_rollout_log_probs(0, std::bit_cast<float>(bits ^ 1u));
  });
  const std::string run = Folder("run");
  EXPECT_EQ(CodeOfSpoiled(run, &generator), 1);
  EXPECT_EQ(Checkpoints(run), Names{});
  ExpectGoesOn(run, Folder("whole"));
}

}  // namespace
}  // namespace grouper
