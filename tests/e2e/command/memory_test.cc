// Compares the memory that `grouper train --dry-run` prints with what the run took according to the
// kernel, for the whole process and not only its tensors.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/io/file.h"
#include "base/io/json.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;

// The memory of the largest process that this one, or a process below it, has waited for.
double MostMebibytes() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

TEST(Memory, ARunTakesWhatTheDryRunPrints) {
  const std::string folder = FreshFolder("memory");
  // The policy is so large that the tensors outweigh the program, whose size is only known roughly.
  const TinyRun tiny{.steps = 3,
                     .checkpoint_every = 1,
                     .prompts_per_step = 8,
                     .width = 256,
                     .head_dim = 128,
                     .layers = 12,
                     .settings = "rollout { kv_cache_bytes: 25165824 }"};
  std::vector<std::string> arguments = TrainArguments(tiny.Write(folder), JoinPath(folder, "run"));
  arguments.push_back("--dry-run");
  arguments.push_back("--json");
  const Ran plan = RunProgram("grouper", arguments);
  ASSERT_EQ(plan.code, 0) << plan.err;
  const double planned =
      ParseJson(plan.out, "plan").At("memory", "plan").Number("total_bytes", "plan") / 0x1p20;
  EXPECT_LT(MostMebibytes(), 40) << "a plan takes next to nothing";
  arguments.resize(arguments.size() - 2);
  const Ran run = RunProgram("grouper", arguments);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NEAR(MostMebibytes() / planned, 1, 0.05)
      << "planned " << planned << " MiB, taken " << MostMebibytes();
}

}  // namespace
}  // namespace grouper
