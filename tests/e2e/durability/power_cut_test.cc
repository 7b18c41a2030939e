// Power cuts. What the program writes and syncs is recorded, and from the record a disk is made as
// a cut at any place may leave it. Every such disk holds the newest checkpoint that was published,
// undamaged, and the files that it continues from. The program continues from it to the same bits.
#include "tests/e2e/durability/power_cut.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/io/file.h"
#include "base/io/record_file.h"
#include "rl/run/run_dir.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"
#include "trace/store/segment.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::PowerDisk;
using testing::PowerRecord;
using testing::Ran;
using testing::ResultOf;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;
using Strings = std::vector<std::string>;

// The step of the newest checkpoint that was published before each op: it was renamed, and its
// folder was synced after that.
std::vector<int64_t> PublishedBefore(const PowerRecord& record) {
  std::vector<int64_t> before;
  int64_t renamed = 0, published = 0;
  for (size_t i = 0; i < record.size(); ++i) {
    before.push_back(published);
    const PowerRecord::Op& op = record.op(i);
    const std::string place = "checkpoints/step-";
    if ((op.kind == 'R' || op.kind == 'E') && op.other.rfind(place, 0) == 0 &&
        op.other.find(".tmp") == std::string::npos) {
      renamed = std::max(renamed, static_cast<int64_t>(std::atol(op.other.c_str() + place.size())));
    }
    if (op.kind == 'D' && op.one == "checkpoints") published = renamed;
  }
  before.push_back(published);
  return before;
}

// How many cases to run. The tests with the label slow ask for more.
int Asked(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoi(text) : otherwise;
}

class PowerCut : public ::testing::Test {
 protected:
  // Records a run that is killed in step 3 and continued, so that it has a start, saves and a
  // resume.
  static void SetUpTestSuite() {
    folder_ = FreshFolder("power");
    config_file_ =
        TinyRun{.checkpoint_every = 1, .width = 8, .head_dim = 4, .rows = true}.Write(folder_);
    const std::string run = folder_ + "/recorded", log = folder_ + "/log";
    MakeFolders(run);
    Strings shim = {std::string("LD_PRELOAD=") + GROUPER_POWER_SHIM, "POWER_FOLDER=" + run,
                    "POWER_LOG=" + log};
    Strings killed = shim;
    killed.push_back("GROUPER_KILL_POINT=step.traced:4");
    EXPECT_EQ(RunProgram("grouper", Train(run), killed).code, 128 + SIGKILL);
    const Ran ran = RunProgram("grouper", Train(run), shim);
    EXPECT_EQ(ran.code, 0) << ran.err;
    result_ = ResultOf(run);
    config_ = ReadFile(run + "/config.textproto", "config");
    record_ = std::make_unique<PowerRecord>(log);
  }
  static void TearDownTestSuite() { RemoveTree(folder_); }

  static Strings Train(const std::string& run) { return TrainArguments(config_file_, run); }
  // Calls visit(op, folder) for `images` cuts that are spread over the record, as if the ops of one
  // kind had not happened.
  static void ForEachCut(int images, const std::function<void(size_t, const std::string&)>& visit,
                         char forgotten = 0) {
    std::mt19937_64 dice(1);
    std::vector<size_t> places;
    for (int i = 0; i < images; ++i) places.push_back(dice() % (record_->size() + 1));
    std::sort(places.begin(), places.end());
    PowerDisk disk;
    const std::string folder = folder_ + "/image";
    size_t done = 0;
    for (const size_t place : places) {
      for (; done < place; ++done) {
        if (record_->op(done).kind != forgotten) disk.Apply(record_->op(done));
      }
      disk.Cut(&dice, folder);
      visit(place, folder);
    }
  }
  // The step of the checkpoint that a run in the folder continues from, or 0 for none. Throws or
  // logs when something is damaged.
  static int64_t StepOf(const std::string& folder) {
    RunDir run(folder);
    const std::optional<RunDir::Found> newest = run.NewestCheckpoint();
    if (!newest) return 0;
    const Manifest& manifest = newest->manifest;
    RecordResumeOffset(LearnerSegmentPath(folder, manifest.trace_segment()),
                       static_cast<int64_t>(manifest.trace_bytes()));
    for (const std::string& name : ListFolder(folder)) {
      if (name.rfind("events.", 0) != 0) continue;
      RecordResumeOffset(JoinPath(folder, name), static_cast<int64_t>(manifest.events_bytes()));
    }
    USER_CHECK(ReadFile(run.File("config.textproto"), "config") == config_, "another config");
    return manifest.step();
  }
  static std::string Where(size_t place) {
    return "after record " + std::to_string(place) +
           (place > 0 ? ", " + record_->line(place - 1) : "");
  }

  static inline std::string folder_, config_file_, result_, config_;
  static inline std::unique_ptr<PowerRecord> record_;
};

TEST_F(PowerCut, EveryDiskHoldsTheNewestCheckpointWhole) {
  const int disks = Asked("GROUPER_POWER_DISKS", 1000);
  const std::vector<int64_t> published = PublishedBefore(*record_);
  ASSERT_EQ(published.back(), 6);
  int whole = 0, ahead = 0;
  ::testing::internal::CaptureStderr();
  ForEachCut(disks, [&](size_t place, const std::string& folder) {
    try {
      const int64_t step = StepOf(folder);
      EXPECT_GE(step, published[place]) << Where(place);
      whole += step >= published[place] ? 1 : 0;
      ahead += step > published[place] ? 1 : 0;
    } catch (const Error& error) {
      ADD_FAILURE() << Where(place) << ": " << error.message();
    }
  });
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("not valid"), std::string::npos) << "half a checkpoint under its name:\n"
                                                      << log.substr(0, 2000);
  std::printf("%zu records, %d of %d disks whole, %d one checkpoint ahead of the last sync\n",
              record_->size(), whole, disks, ahead);
  EXPECT_EQ(whole, disks);
  EXPECT_GT(ahead, 0) << "a cut between rename and sync must be among them";
}

// The control of the test: it would notice a program that syncs no file, or no folder.
TEST_F(PowerCut, ADiskThatForgetsSyncsIsSeen) {
  const std::vector<int64_t> published = PublishedBefore(*record_);
  for (const char forgotten : {'F', 'D'}) {
    int bad = 0;
    ::testing::internal::CaptureStderr();
    ForEachCut(
        60,
        [&](size_t place, const std::string& folder) {
          try {
            bad += StepOf(folder) < published[place] ? 1 : 0;
          } catch (const Error&) {
            ++bad;
          }
        },
        forgotten);
    ::testing::internal::GetCapturedStderr();
    EXPECT_GT(bad, 10) << forgotten;
  }
}

TEST_F(PowerCut, GoesOnToTheSameBits) {
  const int images = Asked("GROUPER_POWER_RUNS", 15);
  int same = 0;
  ForEachCut(images, [&](size_t place, const std::string& folder) {
    const Ran ran = RunProgram("grouper", Train(folder));
    EXPECT_EQ(ran.code, 0) << Where(place) << "\n" << ran.err;
    const bool equal = ran.code == 0 && ResultOf(folder) == result_;
    EXPECT_TRUE(equal) << Where(place);
    same += equal ? 1 : 0;
  });
  std::printf("%d of %d the same\n", same, images);
  EXPECT_EQ(same, images);
}

}  // namespace
}  // namespace grouper
