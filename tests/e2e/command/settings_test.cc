// Numbers out of their range, through the programs: exit code 2 before a folder exists, with and
// without --dry-run. Values at the ends of a range that a plan accepts also run to the end.
#include <gtest/gtest.h>

#include <fstream>

#include "base/io/file.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

constexpr const char* kConfig = R"(
steps: 1 prompts_per_step: 4 group_size: 4 eval_every: 0
policy { width: 32 layers: 2 attention { heads: 2 kv_heads: 1 head_dim: 16 }
         moe { experts: 4 experts_per_token: 2 width: 32 shared_width: 32 } max_positions: 64 }
data { train: "rows.jsonl" eval: "" tokenizer: "bytes" }
sampling { max_new_tokens: 16 }
reward { rubric { extraction: WHOLE component { name: "accuracy" }
                  component { name: "overlong" weight: 0.2 max_tokens: 16 ramp_tokens: 16 } } }
)";

class BadSettings : public ::testing::Test {
 protected:
  BadSettings()
      : folder_(FreshFolder("settings")),
        config_(JoinPath(folder_, "tiny.textproto")),
        run_(JoinPath(folder_, "run")) {
    std::ofstream(config_) << kConfig;
    std::ofstream rows(JoinPath(folder_, "rows.jsonl"));
    for (int i = 0; i < 10; ++i) rows << "{\"question\":\"1+1\",\"answer\":\"2\"}\n";
  }
  Ran Run(const std::string& command, const std::string& set, bool dry) const {
    std::vector<std::string> arguments = {command, "--config", config_,     "--set", set,
                                          "--run", run_,       "--threads", "1"};
    if (dry) arguments.push_back("--dry-run");
    return RunProgram("grouper", arguments);
  }

  std::string folder_, config_, run_;
};

TEST_F(BadSettings, AreRefusedBeforeAFolderExists) {
  for (const char* set : {"optimizer.eps=0",
                          "optimizer.beta1=1",
                          "optimizer.beta2=1",
                          "optimizer.lr=nan",
                          "optimizer.lr=-1",
                          "optimizer.lr=1e30",
                          "optimizer.weight_decay=nan",
                          "optimizer.max_grad_norm=-1",
                          "optimizer.final_share=7",
                          "optimizer.router_bias_step=nan",
                          "optimizer.warmup_updates=-1",
                          "sampling.top_p=0",
                          "sampling.top_p=nan",
                          "sampling.top_k=-1",
                          "sampling.min_p=2",
                          "sampling.temperature=1e7",
                          "sampling.temperature=1e-39",
                          "advantage.eps=-1",
                          "advantage.eps=nan",
                          "reward.service_threads=-1",
                          "group_size=1000000000",
                          "sampling.max_new_tokens=1099511627776",
                          "policy.rms_norm_eps=inf",
                          "check=7"}) {
    const std::string setting = std::string(set).substr(0, std::string(set).find('='));
    for (const bool dry : {true, false}) {
      for (const char* command : {"train", "sft"}) {
        SCOPED_TRACE(std::string(command) + " " + set + (dry ? " --dry-run" : ""));
        const Ran ran = Run(command, set, dry);
        EXPECT_EQ(ran.code, 2);
        EXPECT_NE(ran.err.find(setting), std::string::npos) << ran.err;
        EXPECT_FALSE(FolderExists(run_));
        EXPECT_EQ(ran.out, "");
      }
    }
  }
}

TEST_F(BadSettings, OfRubricsAreRefusedBeforeAFolderExists) {
  for (const char* rubric :
       {"{ component { name: 'acuracy' } }", "{ component { name: 'accuracy' weight: nan } }",
        "{ component { name: 'overlong' max_tokens: 4 ramp_tokens: 5 } }",
        "{ component { name: 'accuracy' gate: 'format' } }",
        "[{ component { name: 'accuracy' } }, { component { name: 'accuracy' } }]", ""}) {
    for (const bool dry : {true, false}) {
      SCOPED_TRACE(rubric);
      const Ran ran = Run("train", std::string("reward.rubric=") + rubric, dry);
      EXPECT_EQ(ran.code, 2);
      EXPECT_NE(ran.err.find("rubric"), std::string::npos) << ran.err;
      EXPECT_FALSE(FolderExists(run_));
    }
  }
}

TEST_F(BadSettings, ATakenValueRunsToTheEnd) {
  for (const char* set : {"optimizer.lr=0",
                          "optimizer.lr=1",
                          "optimizer.beta1=0",
                          "optimizer.beta2=0.99999",
                          "optimizer.eps=1e-15",
                          "optimizer.max_grad_norm=0",
                          "optimizer.max_grad_norm=1e-6",
                          "sampling.temperature=0.01",
                          "sampling.temperature=100",
                          "sampling.top_p=1e-30",
                          "sampling.min_p=1",
                          "sampling.top_k=16777216",
                          "advantage.eps=1e-12",
                          "steps=0",
                          "loss.clip_low=1e6",
                          "loss.log_ratio_clamp=0",
                          "policy.rms_norm_eps=1e-12",
                          "policy.moe.experts=0",
                          "optimizer.router_bias_step=1",
                          "reward.max_wait_seconds=0"}) {
    SCOPED_TRACE(set);
    RemoveTree(run_);
    const Ran ran = Run("train", set, false);
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_TRUE(FileExists(JoinPath(run_, "result.json")));
  }
}

TEST_F(BadSettings, AreRefusedByEveryCommandThatReadsAConfig) {
  ASSERT_EQ(Run("train", "steps=1", false).code, 0);
  const std::string other = JoinPath(folder_, "other");
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"eval", "--checkpoint", run_, "--run", other},
           {"sample", "--checkpoint", run_, "--prompt", "1+1"},
           {"sample", "--checkpoint", run_, "--input", JoinPath(folder_, "rows.jsonl"), "--output",
            JoinPath(other, "out.jsonl")},
           {"replay", run_, "--step", "0"},
           {"quickstart", "--smoke", "--run", other}}) {
    for (const char* set : {"sampling.temperature=nan", "sampling.min_p=-1", "eval.samples=0"}) {
      SCOPED_TRACE(command[0] + " " + set);
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--set", set, "--threads", "1"});
      const Ran ran = RunProgram("grouper", arguments);
      EXPECT_EQ(ran.code, 2) << ran.err;
      EXPECT_NE(ran.err.find(std::string(set).substr(0, std::string(set).find('='))),
                std::string::npos)
          << ran.err;
      EXPECT_FALSE(FolderExists(other));
      EXPECT_FALSE(FolderExists(other + ".run"));
    }
  }
}

TEST_F(BadSettings, WithoutEffectAreSaidOnceByName) {
  for (const bool dry : {true, false}) {
    const Ran ran = Run("train", "dynamic_sampling.max_rounds=3", dry);
    EXPECT_EQ(ran.code, 0) << ran.err;
    const std::string words = "dynamic_sampling.max_rounds has no effect";
    const size_t at = ran.err.find(words);
    ASSERT_NE(at, std::string::npos) << ran.err;
    EXPECT_EQ(ran.err.find(words, at + 1), std::string::npos) << ran.err;
  }
}

// Flags of the programs.
TEST_F(BadSettings, NumbersOfFlagsAreRefusedToo) {
  const std::vector<std::vector<std::string>> rows = {
      {"grouper", "train", "--config", config_, "--run", run_, "--threads", "-1"},
      {"grouper", "train", "--config", config_, "--run", run_, "--threads", "nan"},
      {"grouper", "train", "--config", config_, "--run", run_, "--threads", "1e30"},
      {"grouper", "quickstart", "--run", run_, "--threads", "2000"},
      {"grouper", "quickstart", "--smoke", "--run", run_, "--seed", "-1"},
      {"grouper", "quickstart", "--smoke", "--run", run_, "--seed", "1e30"},
      {"grouper", "sample", "--checkpoint", run_, "--input", "x", "--samples", "0"},
      {"grouper", "sample", "--checkpoint", run_, "--prompt", "x", "--seed", "-1"},
      {"grouper", "replay", run_, "--step", "-1"},
      {"grouper", "doctor", "--threads", "-1"},
      {"grouper-reward", "serve", "--threads", "-1"},
      {"grouper-reward", "serve", "--code-workers", "-1"},
      {"grouper-reward", "serve", "--listen", "127.0.0.1:99999"},
      {"grouper-reward", "serve", "--listen", "127.0.0.1:-1"},
      {"grouper-reward", "score", "--threads", "-1"},
      {"grouper-trace", "ls", run_, "--step", "-1"},
      {"grouper-trace", "show", run_, "--group", "-1"},
      {"grouper-trace", "show", run_, "--id", "nan"},
  };
  for (const std::vector<std::string>& row : rows) {
    SCOPED_TRACE(row[0] + " " + row[1] + " ... " + row.back());
    const Ran ran = RunProgram(row[0], {row.begin() + 1, row.end()});
    EXPECT_EQ(ran.code, 2) << ran.err;
    EXPECT_NE((ran.err + ran.out).find(row[row.size() - 2]), std::string::npos) << ran.err;
    EXPECT_FALSE(FolderExists(run_));
  }
}

}  // namespace
}  // namespace grouper
