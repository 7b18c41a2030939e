// A run meets a full disk, a used-up quota or a limit on file sizes at many of its places. It
// pauses and says so, and continues when there is room, or ends with exit code 75 after the wait
// that was set. The final weights and traces are those of a run that always had room.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/io/file.h"
#include "base/io/json.h"
#include "tests/e2e/program.h"
#include "tests/e2e/tiny_run.h"

namespace grouper {
namespace {

using testing::Background;
using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;
using testing::TinyRun;
using testing::TrainArguments;
using Strings = std::vector<std::string>;

struct Outcome {
  std::string weights, digest;
  bool operator==(const Outcome&) const = default;
};

class FullDisk : public ::testing::Test {
 protected:
  FullDisk()
      : folder_(FreshFolder("full")),
        config_(TinyRun{.steps = 3, .checkpoint_every = 1, .rows = true}.Write(folder_)) {
    const Strings arguments = Train(JoinPath(folder_, "reference"), 0);
    EXPECT_EQ(RunProgram("grouper", arguments).code, 0);
    reference_ = OutcomeOf(JoinPath(folder_, "reference"));
  }
  ~FullDisk() override {
    umount2(JoinPath(folder_, "disk").c_str(), MNT_DETACH);  // if something is mounted there
    RemoveTree(folder_);
  }

  Strings Train(const std::string& run, double wait_seconds) const {
    return TrainArguments(config_, run, {"disk_wait_seconds=" + std::to_string(wait_seconds)});
  }
  static Outcome OutcomeOf(const std::string& run) {
    const std::string file = JoinPath(run, "result.json");
    if (!FileExists(file)) return {"no result", ""};
    return {ParseJson(ReadFile(file, "result"), file).String("weights_sha256", file),
            RunProgram("grouper-trace", {"digest", run}).out};
  }
  static void ExpectWholeRun(const std::string& run, const Outcome& reference) {
    EXPECT_EQ(OutcomeOf(run).weights, reference.weights);
    EXPECT_EQ(OutcomeOf(run).digest, reference.digest);
    for (const std::string& name : ListFolder(JoinPath(run, "checkpoints"))) {
      EXPECT_EQ(name.find(".tmp"), std::string::npos) << "left behind: " << name;
    }
  }

  std::string folder_, config_;
  Outcome reference_;
};

// Uses the shim, so that any byte of the run can be the one that does not fit.
class Quota : public FullDisk {
 protected:
  void Allow(int64_t bytes) const {
    // The file is replaced at once, because the shim may read it at any time.
    PublishFile(JoinPath(folder_, "allowed"), std::to_string(bytes));
  }
  Strings Shim(const std::string& run, int error) const {
    return {std::string("LD_PRELOAD=") + GROUPER_QUOTA_SHIM, "QUOTA_FOLDER=" + run,
            "QUOTA_FILE=" + JoinPath(folder_, "allowed"), "QUOTA_ERRNO=" + std::to_string(error)};
  }
};

TEST_F(Quota, PausesAndGoesOnWhenThereIsRoom) {
  const int errors[] = {ENOSPC, EDQUOT, EFBIG};
  const char* words[] = {"free space", "quota", "ulimit -f"};
  int i = 0;
  for (int64_t allowed : {900, 12'000, 40'000, 70'000, 95'000, 130'000}) {
    const int kind = i % 3;
    const std::string run = JoinPath(folder_, "run" + std::to_string(i++));
    SCOPED_TRACE(std::to_string(allowed) + " bytes, " + std::strerror(errors[kind]));
    Allow(allowed);
    Background running("grouper", Train(run, 60), Shim(run, errors[kind]));
    ASSERT_TRUE(running.Says("[disk] writing is paused")) << running.err();
    EXPECT_NE(running.err().find(run), std::string::npos) << running.err();
    EXPECT_NE(running.err().find(words[kind]), std::string::npos) << running.err();
    Allow(1'000'000'000);
    const Ran ran = running.Wait();
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_NE(ran.err.find("there is room again"), std::string::npos) << ran.err;
    ExpectWholeRun(run, reference_);
  }
}

TEST_F(Quota, LeavesWith75AfterTheSetWaitAndLosesNothing) {
  for (int64_t allowed : {900, 30'000, 60'000, 110'000}) {
    SCOPED_TRACE(allowed);
    const std::string run = JoinPath(folder_, "run" + std::to_string(allowed));
    Allow(allowed);
    const Ran ran = RunProgram("grouper", Train(run, 0.3), Shim(run, EDQUOT));
    EXPECT_EQ(ran.code, 75) << ran.err;
    EXPECT_NE(ran.err.find("disk_wait_seconds"), std::string::npos) << ran.err;
    EXPECT_FALSE(FileExists(JoinPath(run, "result.json")));
    EXPECT_EQ(RunProgram("grouper", Train(run, 0)).code, 0);
    ExpectWholeRun(run, reference_);
  }
}

TEST_F(Quota, ASignalEndsTheWaitAtOnce) {
  const std::string run = JoinPath(folder_, "run");
  Allow(60'000);
  Background running("grouper", Train(run, 3600), Shim(run, ENOSPC));
  ASSERT_TRUE(running.Says("[disk] writing is paused")) << running.err();
  running.Signal(SIGTERM);
  EXPECT_EQ(running.Wait().code, 75);
  EXPECT_EQ(RunProgram("grouper", Train(run, 0)).code, 0);
  ExpectWholeRun(run, reference_);
}

// What a failed sync lost is not known, so the run ends. It is continued from what is proven.
TEST_F(Quota, AFailedSyncEndsTheRunAndLosesNothing) {
  for (const char* at : {"1", "6", "9", "13", "20", "31"}) {
    SCOPED_TRACE(at);
    const std::string run = JoinPath(folder_, std::string("run") + at);
    const Ran ran = RunProgram("grouper", Train(run, 60),
                               {std::string("LD_PRELOAD=") + GROUPER_QUOTA_SHIM,
                                "QUOTA_FOLDER=" + run, std::string("SYNC_FAILS_AT=") + at});
    EXPECT_EQ(ran.code, 1) << ran.err;
    EXPECT_NE(ran.err.find("cannot sync"), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find(run), std::string::npos) << ran.err;
    EXPECT_EQ(RunProgram("grouper", Train(run, 0)).code, 0);
    ExpectWholeRun(run, reference_);
  }
}

// Uses the kernel's own limit, which is raised while the run waits.
TEST_F(FullDisk, ALimitOnFileSizesIsWaitedFor) {
  const std::string run = JoinPath(folder_, "run");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 10'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Background running("grouper", Train(run, 60));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_TRUE(running.Says("ulimit -f")) << running.err();
  EXPECT_NE(running.err().find("[disk] writing is paused"), std::string::npos) << running.err();
  ASSERT_EQ(prlimit(running.pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  const Ran ran = running.Wait();
  EXPECT_EQ(ran.code, 0) << ran.err;
  ExpectWholeRun(run, reference_);
}

// Uses a mount that only this process and its children see.
bool OwnMounts() {
  if (unshare(CLONE_NEWNS) != 0) {
    const uid_t uid = getuid();
    const gid_t gid = getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  }
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

TEST_F(FullDisk, ASmallFileSystemIsFull) {
  const std::string disk = JoinPath(folder_, "disk");
  MakeFolders(disk);
  if (!OwnMounts() || mount("none", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "this machine lets us mount nothing; Quota.* tests the same path without";
  }
  const std::string run = JoinPath(disk, "run"), ballast = JoinPath(disk, "ballast");
  for (int free_kib : {24, 100, 200}) {
    SCOPED_TRACE(free_kib);
    RemoveTree(run);
    std::ofstream(ballast) << std::string(static_cast<size_t>(1024 - free_kib) * 1024, 'x');
    const Ran full = RunProgram("grouper", Train(run, 0.3));
    EXPECT_EQ(full.code, 75) << full.err;
    EXPECT_NE(full.err.find(disk), std::string::npos) << full.err;
    Background running("grouper", Train(run, 60));
    ASSERT_TRUE(running.Says("[disk] writing is paused")) << running.err();
    RemoveTree(ballast);
    const Ran ran = running.Wait();
    EXPECT_EQ(ran.code, 0) << ran.err;
    ExpectWholeRun(run, reference_);
  }
}

TEST_F(FullDisk, AReadOnlyFileSystemIsNamed) {
  const std::string disk = JoinPath(folder_, "disk"), run = JoinPath(disk, "run");
  MakeFolders(disk);
  if (!OwnMounts() || mount("none", disk.c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP() << "this machine lets us mount nothing";
  }
  ASSERT_EQ(RunProgram("grouper", Train(run, 0)).code, 0);
  ASSERT_EQ(mount("none", disk.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr), 0);
  for (const std::string& folder : {run, JoinPath(disk, "other")}) {
    const Ran ran = RunProgram("grouper", Train(folder, 60));
    EXPECT_EQ(ran.code, 2) << ran.err;
    EXPECT_NE(ran.err.find(folder), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("Read-only file system"), std::string::npos) << ran.err;
  }
  ExpectWholeRun(run, reference_);  // and it can be read
  const Ran eval = RunProgram("grouper", {"eval", "--checkpoint", run, "--set",
                                          "data.eval=" + JoinPath(folder_, "rows.jsonl")});
  EXPECT_EQ(eval.code, 0) << eval.err;
}

}  // namespace
}  // namespace grouper
