// The shrunk quickstart gives equal weights and traces with any number of threads, any micro-batch
// and any instruction set.
#include <gtest/gtest.h>
#include <signal.h>

#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"
#include "kernels/cpu/isa.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

struct Result {
  std::string weights, digest;
  bool operator==(const Result&) const = default;
};

std::string TraceDigest(const std::string& run) {
  const Ran ran = RunProgram("grouper-trace", {"digest", run});
  EXPECT_EQ(ran.code, 0) << ran.err;
  return ran.out;
}

Result Smoke(const std::string& name, const std::vector<std::string>& extra,
             const std::vector<std::string>& environment = {}) {
  const std::string run = FreshFolder(name);
  std::vector<std::string> arguments = {"quickstart", "--smoke", "--seed", "3",
                                        "--run",      run,       "--json"};
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  const Ran ran = RunProgram("grouper", arguments, environment);
  EXPECT_EQ(ran.code, 0) << ran.err;
  if (ran.code != 0) return {};
  const Json json = ParseJson(ran.out, "quickstart --json");
  EXPECT_EQ(json.Integer("mismatch", "json"), 0);
  EXPECT_GT(json.Integer("checked_tokens", "json"), 1000);
  int64_t updates = 0;
  JsonLinesReader rows(run + "/rl/metrics.jsonl", "metrics");
  for (Json row; rows.Next(&row);) {
    EXPECT_EQ(row.Integer("check.tokens", "row"), row.Integer("rollout.sampled_tokens", "row"));
    updates += row.Integer("update.count", "row");
  }
  EXPECT_GT(updates, 0) << "a smoke run without an update proves nothing";
  return {json.String("weights_sha256", "json"), TraceDigest(run + "/rl")};
}

TEST(Smoke, ThreadsMicroBatchesInstructionSetsAndHostMathGiveTheSameBits) {
  SKIP_WITHOUT_ISOLATION();
  const Result reference = Smoke("reference", {"--threads", "1"});
  ASSERT_EQ(reference.weights.size(), 64u);
  EXPECT_EQ(Smoke("two", {"--threads", "2"}), reference);
  for (const char* tokens : {"1", "100", "4096"}) {
    EXPECT_EQ(Smoke("micro", {"--set", std::string("batch.max_tokens_per_micro_batch=") + tokens}),
              reference)
        << tokens;
  }
  for (cpu::Isa isa : cpu::AvailableIsas()) {
    EXPECT_EQ(Smoke("isa", {"--threads", "2"}, {std::string("GROUPER_CPU=") + cpu::NameOf(isa)}),
              reference)
        << cpu::NameOf(isa);
  }
  EXPECT_EQ(Smoke("glibc", {}, {"GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA,-AVX2"}), reference);
  EXPECT_NE(Smoke("other", {"--set", "optimizer.lr=1e-3"}), reference)
      << "the comparison must be able to fail";
}

TEST(Smoke, RunningAgainOnTheSameFolderResumes) {
  SKIP_WITHOUT_ISOLATION();
  const std::string run = FreshFolder("again");
  const std::vector<std::string> arguments = {"quickstart", "--smoke", "--run", run, "--json"};
  const Ran first = RunProgram("grouper", arguments), second = RunProgram("grouper", arguments);
  ASSERT_EQ(first.code, 0) << first.err;
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(first.out, second.out);
}

// A run that is stopped in the middle and started again has the weights and the trace of one that
// was left alone.
class Interrupted : public ::testing::TestWithParam<int> {};

TEST_P(Interrupted, RunEndsInTheSameBits) {
  SKIP_WITHOUT_ISOLATION();
  const auto command = [](const std::string& run) {
    return std::vector<std::string>{"quickstart", "--smoke", "--run",   run,
                                    "--json",     "--set",   "steps=30"};
  };
  const std::string whole = FreshFolder("whole"), cut = FreshFolder("cut");
  const Ran left_alone = RunProgram("grouper", command(whole));
  ASSERT_EQ(left_alone.code, 0) << left_alone.err;
  const Ran stopped =
      testing::RunAndSignal("grouper", command(cut), cut + "/rl/metrics.jsonl", 7, GetParam());
  EXPECT_EQ(stopped.code, GetParam() == SIGTERM ? 75 : 128 + SIGKILL) << stopped.err;
  EXPECT_FALSE(FileExists(cut + "/rl/result.json")) << "the signal came too late to test anything";
  const Ran resumed = RunProgram("grouper", command(cut));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  const auto weights = [](const Ran& ran) {
    return ParseJson(ran.out, "json").String("weights_sha256", "json");
  };
  EXPECT_EQ(weights(resumed), weights(left_alone));
  EXPECT_EQ(TraceDigest(cut + "/rl"), TraceDigest(whole + "/rl"));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupted, ::testing::Values(SIGTERM, SIGKILL));

}  // namespace
}  // namespace grouper
