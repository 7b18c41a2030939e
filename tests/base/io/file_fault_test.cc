// Full disks, limits, failing syncs and kills. The device files play the disk: what is written to
// /dev/full fails as on a full disk, and /dev/null takes writes but cannot sync.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/process.h"
#include "base/io/record_file.h"
#include "base/kill_point.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using std::chrono::seconds;
using testing_support::TempFolder;
using testing_support::UserErrorOf;
using Names = std::vector<std::string>;

template <typename Call>
Error ErrorOf(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorKind::kInternal, "");
}

// The old file "f" in a folder where PublishFile's temporary leads to `device`.
struct OldFile {
  explicit OldFile(const char* device) : path(folder.Write("f", "old")) {
    EXPECT_EQ(symlink(device, (path + ".tmp").c_str()), 0);
  }
  void ExpectUntouched() const {
    EXPECT_EQ(ReadFile(path, "t"), "old");
    EXPECT_EQ(ListFolder(folder.path()), Names{"f"});
  }
  TempFolder folder;
  std::string path;
};

TEST(PublishFile, AFullDiskIsUnavailableAndLeavesTheOldFile) {
  const OldFile old("/dev/full");
  const Error error = ErrorOf([&] { PublishFile(old.path, "new"); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
  EXPECT_EQ(error.message(), "[file] cannot write " + old.path +
                                 ".tmp: No space left on device; free space on this disk and run "
                                 "again");
  old.ExpectUntouched();
}

TEST(PublishFile, AFailedSyncCondemnsTheNewFile) {
  const OldFile old("/dev/null");
  const Error error = ErrorOf([&] { PublishFile(old.path, "new"); });
  EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  EXPECT_NE(error.message().find("cannot sync " + old.path), std::string::npos) << error.message();
  old.ExpectUntouched();
}

TEST(PublishFile, AFileThatStopsInTheMiddleLeavesTheOldOne) {
  const TempFolder folder;
  const std::string path = folder.Write("f", "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Error error = ErrorOf([&] { PublishFile(path, std::string(30'000, 'x')); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_NE(error.message().find("cannot write " + path), std::string::npos) << error.message();
  EXPECT_EQ(ReadFile(path, "t"), "old");
  EXPECT_EQ(ListFolder(folder.path()), Names{"f"});
}

TEST(PublishFile, AMissingFolderAndAFolderInThePlaceOfTheFile) {
  const TempFolder folder;
  const std::string lost = JoinPath(folder.path(), "none/f");
  const std::string message = UserErrorOf([&] { PublishFile(lost, "x"); });
  EXPECT_NE(message.find(lost), std::string::npos) << message;
  const std::string taken = JoinPath(folder.path(), "taken");
  MakeFolders(taken);
  const std::string refused = UserErrorOf([&] { PublishFile(taken, "x"); });
  EXPECT_NE(refused.find(taken + ": Is a directory; check the path"), std::string::npos) << refused;
  EXPECT_EQ(ListFolder(folder.path()), Names{"taken"}) << "the temporary stays behind";
}

TEST(RenameDurably, AMissingSourceNamesBoth) {
  const TempFolder folder;
  const std::string from = JoinPath(folder.path(), "from"), to = JoinPath(folder.path(), "to");
  const std::string message = UserErrorOf([&] { RenameDurably(from, to); });
  EXPECT_NE(message.find("cannot rename " + from + " to " + to), std::string::npos) << message;
}

TEST(AppendFile, AFullDiskIsUnavailableAndMayBeTriedAgain) {
  AppendFile file("/dev/full");
  file.Append("abc");
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Error error = ErrorOf([&] { file.Flush(); });
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_NE(error.message().find("/dev/full"), std::string::npos) << error.message();
  }
  EXPECT_EQ(file.size_bytes(), 3u);
}

TEST(AppendFile, AFailedSyncCondemnsTheFile) {
  AppendFile file("/dev/null");
  file.Append("abc");
  EXPECT_EQ(ErrorOf([&] { file.Sync(); }).kind(), ErrorKind::kInternal);
  for (const Error& error : {ErrorOf([&] { file.Append("d"); }), ErrorOf([&] { file.Flush(); }),
                             ErrorOf([&] { file.Sync(); })}) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(error.message().find("a sync of this file has failed"), std::string::npos)
        << error.message();
    EXPECT_NE(error.message().find("/dev/null"), std::string::npos) << error.message();
  }
}

// Bytes that did not fit are written once, when there is room again.
TEST(AppendFile, GoesOnInTheMiddleWhenThereIsRoomAgain) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  AppendFile file(path);
  std::string bytes;
  for (int i = 0; i < 20'000; ++i) bytes.push_back(static_cast<char>('a' + i % 26));
  file.Append(bytes);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 7'001;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  ErrorOf([&] { file.Flush(); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(FileSize(path), 7'001u);
  file.Flush();
  EXPECT_EQ(ReadFile(path, "t"), bytes);
}

TEST(FolderLock, ASecondOwnerIsRefusedWithTheFirstOnesName) {
  const TempFolder folder;
  {
    const FolderLock lock(folder.path());
    const std::string message = UserErrorOf([&] { FolderLock second(folder.path()); });
    EXPECT_EQ(message.rfind("[run] " + folder.path() + " is in use by host ", 0), 0u) << message;
    EXPECT_NE(message.find(" pid " + std::to_string(getpid()) + " since 20"), std::string::npos)
        << message;
    EXPECT_NE(message.find("; stop that process or choose another folder"), std::string::npos);
  }
  const FolderLock again(folder.path());
}

TEST(FolderLock, AMissingFolderIsNamed) {
  const TempFolder folder;
  const std::string missing = JoinPath(folder.path(), "none");
  const std::string message = UserErrorOf([&] { FolderLock lock(missing); });
  EXPECT_NE(message.find(missing), std::string::npos) << message;
}

TEST(FolderLock, DeathReleasesIt) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t owner = fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    alarm(60);  // should the test end before it kills us
    const FolderLock lock(folder.path());
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte;
  close(ready[1]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  const std::string message = UserErrorOf([&] { FolderLock lock(folder.path()); });
  EXPECT_NE(message.find(" pid " + std::to_string(owner)), std::string::npos) << message;
  kill(owner, SIGKILL);
  ASSERT_EQ(waitpid(owner, nullptr, 0), owner);
  const FolderLock lock(folder.path());
}

// A child program of the owner must not hold the run folder when the owner is gone.
TEST(FolderLock, IsNotHandedToChildren) {
  const TempFolder folder;
  auto lock = std::make_unique<FolderLock>(folder.path());
  Process child({{"/bin/sh", "-c", "read forever <&4"}, {}, true});
  lock.reset();
  const FolderLock again(folder.path());
  EXPECT_FALSE(child.Wait(std::chrono::milliseconds(0)).has_value());
}

// This program started again as a victim: see main.
int RunVictim(const std::string& kill_point, const std::string& what, const std::string& path,
              int signal = SIGKILL) {
  Process victim({.argv = {"/proc/self/exe", what, path},
                  .environment_extra = {"GROUPER_KILL_POINT=" + kill_point,
                                        "GROUPER_KILL_SIGNAL=" + std::to_string(signal)}});
  const std::optional<int> code = victim.Wait(seconds(60));
  EXPECT_TRUE(code.has_value()) << "the victim hangs";
  return code.value_or(-1);
}

TEST(KillPoint, APublishedFileIsOldOrNewWhereverTheKillComes) {
  for (const auto& [point, wanted] :
       {std::pair{"file.written", "old"}, std::pair{"file.synced", "old"},
        std::pair{"file.renamed:1", "new"}}) {
    const TempFolder folder;
    const std::string path = folder.Write("f", "old");
    EXPECT_EQ(RunVictim(point, "publish", path), 128 + SIGKILL) << point;
    EXPECT_EQ(ReadFile(path, "t"), wanted) << point;
    PublishFile(path, "next");
    EXPECT_EQ(ListFolder(folder.path()), Names{"f"}) << point;
  }
}

TEST(KillPoint, CountsOccurrencesAndLeavesOtherNamesAlone) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "count");
  for (const auto& [point, survived] :
       {std::pair{"test.loop:1", 0u}, std::pair{"test.loop", 0u}, std::pair{"test.loop:3", 2u}}) {
    EXPECT_EQ(RunVictim(point, "loop", path), 128 + SIGKILL) << point;
    EXPECT_EQ(FileSize(path), survived) << point;
  }
  for (const char* point : {"test.loop:6", "test.loop:0", "test.other:1", "test", ""}) {
    EXPECT_EQ(RunVictim(point, "loop", path), 0) << point;
    EXPECT_EQ(FileSize(path), 5u) << point;
  }
  EXPECT_EQ(RunVictim("test.loop:3", "loop", path, SIGTERM), 128 + SIGTERM);
  EXPECT_EQ(FileSize(path), 2u);
  EXPECT_EQ(RunVictim("test.loop:3", "loop", path, SIGCONT), 0) << "goes on";
  EXPECT_EQ(FileSize(path), 5u);
}

}  // namespace

int VictimMain(const std::string& what, const std::string& path) {
  if (what == "publish") {
    PublishFile(path, "new");
  } else {
    AppendFile file(path, FileExists(path) ? 0 : -1);
    for (int i = 0; i < 5; ++i) {
      KILL_POINT("test.loop");
      file.Append("x");
      file.Flush();
    }
  }
  return 0;
}

}  // namespace grouper

// With two arguments that are no flags the program is the victim of the kill-point tests.
int main(int argc, char** argv) {
  if (argc == 3 && argv[1][0] != '-') return grouper::VictimMain(argv[1], argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
