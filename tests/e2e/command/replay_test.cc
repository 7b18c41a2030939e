// `grouper replay`. A repeated step is equal bit for bit, from a checkpoint right before it, from
// an older one, and from the first weights. When one value of the record was changed, the replay
// names its place. The run folder is only read.
#include <gtest/gtest.h>
#include <signal.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/digest.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/record_file.h"
#include "kernels/numerics.h"
#include "proto/trace.pb.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"
#include "trace/store/segment.h"

namespace grouper {
namespace {

using testing::Background;
using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;
using testing::TinyRun;
using Strings = std::vector<std::string>;

const TinyRun kTiny = {.layers = 2, .experts = 4, .experts_per_token = 2};

// A run of the steps 0 to 5 with the checkpoints 2, 4 and 6. It is made once.
const std::string& TheRun() {
  static const std::string run = [] {
    const std::string folder = FreshFolder("replay");
    const std::string config = kTiny.Write(folder);
    const Ran ran = RunProgram("grouper", {"train", "--config", config, "--run", folder + "/run"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return folder + "/run";
  }();
  return run;
}

Ran Replay(const std::string& run, int step, const Strings& more = {}) {
  Strings arguments = {"replay", run, "--step", std::to_string(step), "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram("grouper", arguments);
}

// A copy of the run whose trace frames have passed through `change`.
std::string Changed(const std::string& name, const std::function<void(TraceFrame*)>& change) {
  const std::string copy = FreshFolder("replay-" + name);
  std::filesystem::copy(
      TheRun(), copy,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  for (const TraceSegment& segment : SegmentsIn(copy + "/traces/learner")) {
    std::vector<TraceFrame> frames;
    {
      RecordReader reader(segment.path);
      for (std::string record; reader.Next(&record);) {
        frames.emplace_back();
        EXPECT_TRUE(frames.back().ParseFromString(record));
      }
    }
    RecordWriter writer(segment.path, 0);
    for (TraceFrame& frame : frames) {
      change(&frame);
      writer.Append(frame.SerializeAsString());
    }
    writer.Flush();
  }
  return copy;
}

// Calls `change` with the third completion of step 3, which has several tokens.
std::string ChangedCompletion(const std::string& name,
                              const std::function<void(Completion*)>& change, Completion* changed) {
  int seen = 0;
  return Changed(name, [&](TraceFrame* frame) {
    if (!frame->has_completion() || frame->completion().step() != 3 || ++seen != 3) return;
    change(frame->mutable_completion()->mutable_completion());
    *changed = frame->completion().completion();
  });
}

// The path, size and content of every file.
std::string Fingerprint(const std::string& folder) {
  Sha256 hash;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    hash.Update(entry.path().string() + "\n");
    if (entry.is_regular_file()) hash.Update(ReadFile(entry.path().string(), "file"));
  }
  return hash.FinishHex();
}

TEST(Replay, EveryStepIsEqualFromWhateverCheckpointAndTheRunIsOnlyRead) {
  const std::string run = TheRun(), before = Fingerprint(run);
  std::filesystem::permissions(
      run, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const int first[] = {0, 0, 2, 2, 4, 4};
  for (int step = 0; step < 6; ++step) {
    const Ran ran = Replay(run, step);
    ASSERT_EQ(ran.code, 0) << step << ": " << ran.err;
    const Json json = ParseJson(ran.out, "replay --json");
    EXPECT_TRUE(json.At("equal", "json").boolean);
    EXPECT_EQ(json.Integer("first_step", "json"), first[step]);
    EXPECT_EQ(json.Integer("last_step", "json"), step);
    EXPECT_EQ(json.Integer("rollouts", "json"), 8 * (step - first[step] + 1));
    EXPECT_GT(json.Integer("tokens", "json"), 8);
    EXPECT_EQ(json.String("weights_from", "json"), step % 2 == 1 ? "checkpoint" : "next step");
    EXPECT_EQ(json.String("start", "json").empty(), first[step] == 0);
    if (step == 5) {
      EXPECT_NE(
          ReadFile(run + "/result.json", "result").find(json.String("weights_sha256", "json")),
          std::string::npos);
    }
  }
  std::filesystem::permissions(run, std::filesystem::perms::owner_all);
  EXPECT_EQ(Fingerprint(run), before);
  const Ran other_cut =
      Replay(run, 3, {"--threads", "1", "--set", "batch.max_tokens_per_micro_batch=16"});
  EXPECT_EQ(other_cut.code, 0) << other_cut.err;
}

TEST(Replay, AnotherLearningRateIsFoundInTheWeights) {
  // Steps 0 and 3 have updates. After a step with a checkpoint all tensors are compared, otherwise
  // only the digest that the next step's rollouts carry.
  const Ran early = Replay(TheRun(), 1, {"--set", "optimizer.lr=1e-3"});
  EXPECT_EQ(early.code, 1) << early.err;
  const Json json = ParseJson(early.out, "json");
  EXPECT_EQ(json.At("difference", "json").Integer("step", "json"), 0);
  EXPECT_EQ(json.At("difference", "json").String("field", "json"), "weights_digest");
  const Ran late = Replay(TheRun(), 3, {"--set", "optimizer.lr=1e-3"});
  EXPECT_EQ(late.code, 1) << late.err;
  const Json tensors = ParseJson(late.out, "json");
  EXPECT_EQ(tensors.At("difference", "json").Integer("step", "json"), 3);
  EXPECT_FALSE(tensors.At("difference", "json").String("tensor", "json").empty());
}

TEST(Replay, AFlippedLogProbBitIsNamed) {
  Completion changed;
  float was = 0;
  const std::string run = ChangedCompletion(
      "log-prob",
      [&](Completion* c) {
        const int at = c->ids_size() - 1;
        was = c->rollout_log_probs(at);
        c->set_rollout_log_probs(at, std::bit_cast<float>(std::bit_cast<uint32_t>(was) ^ 1u));
      },
      &changed);
  const Ran ran = Replay(run, 3);
  EXPECT_EQ(ran.code, 1) << ran.err;
  const Json json = ParseJson(ran.out, "json");
  EXPECT_FALSE(json.At("equal", "json").boolean);
  const Json& d = json.At("difference", "json");
  EXPECT_EQ(d.Integer("step", "json"), 3);
  EXPECT_EQ(d.Integer("rollout_id", "json"), static_cast<int64_t>(changed.rollout_id()));
  EXPECT_EQ(d.String("field", "json"), "rollout_log_probs");
  char bits[16];
  std::snprintf(bits, sizeof(bits), "0x%08x", std::bit_cast<uint32_t>(was));
  EXPECT_EQ(d.String("made", "json").rfind(bits, 0), 0u) << ran.out;
  EXPECT_NE(d.String("recorded", "json").rfind(bits, 0), 0u) << ran.out;
  EXPECT_NE(ran.err.find("position " + std::to_string(d.Integer("position", "json"))),
            std::string::npos)
      << ran.err;
  EXPECT_EQ(Replay(run, 2).code, 0) << "the step before it is whole";
  const Ran later = Replay(run, 4);
  EXPECT_EQ(later.code, 0) << "made from the checkpoint after the changed step: " << later.err;
}

TEST(Replay, AnotherTokenAndAnotherExpertAreNamed) {
  Completion changed;
  const std::string token = ChangedCompletion(
      "token", [](Completion* c) { c->set_ids(0, c->ids(0) + 1); }, &changed);
  const Ran other_token = Replay(token, 3);
  EXPECT_EQ(other_token.code, 1) << other_token.err;
  const Json json = ParseJson(other_token.out, "json");
  const Json& d = json.At("difference", "json");
  EXPECT_EQ(d.String("field", "json"), "ids");
  EXPECT_EQ(d.String("recorded", "json"), std::to_string(changed.ids(0)));
  EXPECT_EQ(d.String("made", "json"), std::to_string(changed.ids(0) - 1));

  // Layer 1, slot 0 of the second token; a token has 2 layers of 2 slots.
  const std::string expert = ChangedCompletion(
      "expert", [](Completion* c) { (*c->mutable_experts())[4 + 2] ^= 1; }, &changed);
  ASSERT_GE(changed.ids_size(), 2);
  const Ran other_expert = Replay(expert, 3);
  EXPECT_EQ(other_expert.code, 1) << other_expert.err;
  const Json again = ParseJson(other_expert.out, "json");
  const Json& e = again.At("difference", "json");
  EXPECT_EQ(e.String("field", "json"), "experts, MoE layer 1 slot 0");
  EXPECT_EQ(e.Integer("rollout_id", "json"), static_cast<int64_t>(changed.rollout_id()));
  EXPECT_EQ(e.Integer("position", "json"), d.Integer("position", "json") + 1);
}

TEST(Replay, AnotherAdvantageAndAnotherVerdictAreFound) {
  // Another reward changes the advantages of its group.
  const std::string run = Changed("reward", [](TraceFrame* frame) {
    if (!frame->has_group() || frame->group().step() != 3) return;
    frame->mutable_group()->mutable_scores(0)->set_reward(7);
  });
  const Ran ran = Replay(run, 3);
  EXPECT_EQ(ran.code, 1) << ran.err;
  EXPECT_EQ(ParseJson(ran.out, "json").At("difference", "json").String("field", "json"),
            "advantages");
}

TEST(Replay, AnotherWeightInTheNextCheckpointIsNamedByItsTensor) {
  const std::string run = Changed("weight", [](TraceFrame*) {});
  const std::string model = run + "/checkpoints/step-00000004/model.safetensors";
  std::string bytes = ReadFile(model, "model");
  bytes[bytes.size() - 4] ^= 1;  // the last element of the last tensor
  std::ofstream(model, std::ios::binary) << bytes;
  const Ran ran = Replay(run, 3);
  EXPECT_EQ(ran.code, 1) << ran.err;
  const Json json = ParseJson(ran.out, "json");
  const Json& d = json.At("difference", "json");
  EXPECT_FALSE(d.String("tensor", "json").empty());
  EXPECT_NE(d.String("place", "json").find("step-00000004"), std::string::npos);
  EXPECT_EQ(d.String("field", "json"), "model.safetensors");
  EXPECT_NE(ran.err.find("SHA-256"), std::string::npos) << ran.err;
  // The replay skips a damaged checkpoint, as a resume does.
  const Ran from_older = Replay(run, 4);
  EXPECT_EQ(from_older.code, 1) << from_older.err;
  EXPECT_EQ(ParseJson(from_older.out, "json").Integer("first_step", "json"), 2);
}

TEST(Replay, ALaterCheckpointThatIsCutOffIsADifference) {
  const std::string copy = Changed("cut", [](TraceFrame*) {});
  std::filesystem::resize_file(copy + "/checkpoints/step-00000004/model.safetensors", 100);
  const Ran ran = Replay(copy, 3);
  EXPECT_EQ(ran.code, 1) << ran.err;
  EXPECT_NE(ran.out.find("step-00000004"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("cannot be compared"), std::string::npos) << ran.out;
}

TEST(Replay, WhatCannotBeMadeAgainIsSaid) {
  const Ran out_of_range = Replay(TheRun(), 6);
  EXPECT_EQ(out_of_range.code, 2);
  EXPECT_NE(out_of_range.err.find("step=6 first=0 last=5"), std::string::npos) << out_of_range.err;
  EXPECT_EQ(Replay(TheRun(), -1).code, 2);
  const Ran no_run = Replay(TheRun() + "-nowhere", 1);
  EXPECT_EQ(no_run.code, 2);
  EXPECT_NE(no_run.err.find("nowhere"), std::string::npos) << no_run.err;
  EXPECT_EQ(RunProgram("grouper", {"replay", TheRun()}).code, 2);

  const std::string other_build = Changed("profile", [](TraceFrame* frame) {
    if (frame->has_header()) frame->mutable_header()->set_numeric_profile("cpu-fp32-0");
  });
  const Ran profile = Replay(other_build, 3);
  EXPECT_EQ(profile.code, 2);
  EXPECT_NE(profile.err.find("cpu-fp32-0"), std::string::npos) << profile.err;
  EXPECT_NE(profile.err.find(numerics::kCpuProfile), std::string::npos) << profile.err;
}

TEST(Replay, SeveralUpdatesAStepAndAReferenceAreEqualToo) {
  const std::string folder = FreshFolder("replay-r1"), run = folder + "/run";
  kTiny.Write(folder);
  std::ofstream(folder + "/r1.textproto") << R"(
    checkpoint_every: 3 batch { minibatches: 2 } loss { kl: K3 kl_beta: 0.1 }
    reference { refresh_every: 4 })";
  const Ran ran = RunProgram("grouper", {"train", "--config", folder + "/tiny.textproto",
                                         "--config", folder + "/r1.textproto", "--run", run});
  ASSERT_EQ(ran.code, 0) << ran.err;
  for (int step : {1, 2, 5}) {
    const Ran replay = Replay(run, step);
    EXPECT_EQ(replay.code, 0) << step << ": " << replay.err;
    EXPECT_EQ(ParseJson(replay.out, "json").Integer("first_step", "json"), step < 3 ? 0 : 3);
  }
  const Ran refreshed = Replay(run, 5, {"--set", "reference.refresh_every=3"});
  EXPECT_EQ(refreshed.code, 1) << refreshed.err;
  const Json json = ParseJson(refreshed.out, "json");
  EXPECT_EQ(json.At("difference", "json").String("field", "json"), "reference_digest");
}

// One of 123 possible tokens is right, so most steps take several rounds of prompts.
TEST(Replay, DynamicSamplingAndAPenaltyInTheRewardAreEqualToo) {
  const std::string folder = FreshFolder("replay-dynamic"), run = folder + "/run";
  kTiny.Write(folder);
  std::ofstream(folder + "/rows.jsonl") << "{\"question\":\"1+2\",\"answer\":\"3\"}\n"
                                        << "{\"question\":\"4+4\",\"answer\":\"8\"}\n";
  std::ofstream(folder + "/dynamic.textproto") << R"(
    data { train: "rows.jsonl" } group_size: 64 checkpoint_every: 3
    loss { kl: K1 kl_beta: 0.1 kl_place: IN_REWARD } sampling { max_new_tokens: 1 }
    dynamic_sampling { enabled: true max_rounds: 50 })";
  const Ran ran = RunProgram("grouper", {"train", "--config", folder + "/tiny.textproto",
                                         "--config", folder + "/dynamic.textproto", "--run", run});
  ASSERT_EQ(ran.code, 0) << ran.err;
  int64_t rollouts = 0;
  for (int step : {1, 2, 4}) {
    const Ran replay = Replay(run, step);
    EXPECT_EQ(replay.code, 0) << step << ": " << replay.err;
    if (step == 2) rollouts = ParseJson(replay.out, "json").Integer("rollouts", "json");
  }
  EXPECT_GT(rollouts, 3 * 2 * 64) << "no step took a second round: nothing was tested";
  EXPECT_EQ(Replay(run, 5, {"--set", "loss.kl_beta=0.2"}).code, 1);
}

TEST(Replay, WorksBesideARunningLearner) {
  const std::string folder = FreshFolder("replay-live"), run = folder + "/run";
  kTiny.Write(folder);
  Background learner("grouper", {"train", "--config", folder + "/tiny.textproto", "--run", run,
                                 "--set", "steps=100000", "--set", "checkpoint_every=0"});
  ASSERT_TRUE(learner.HasLines(run + "/metrics.jsonl", 3)) << learner.err();
  const Ran ran = Replay(run, 2);
  EXPECT_EQ(ran.code, 0) << ran.err;
  learner.Signal(SIGTERM);
  EXPECT_EQ(learner.Wait().code, 75);
}

}  // namespace
}  // namespace grouper
