// Waiting for a full disk: it says so once, continues where it stopped, and gives up after the set
// time.
#include "base/io/disk_wait.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/io/record_file.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

struct Waiting {
  explicit Waiting(double seconds)
      : wait({.seconds = seconds,
              .say = [this](const std::string& line) { said.push_back(line); },
              .sleep =
                  [this](std::chrono::milliseconds time) {
                    slept += static_cast<double>(time.count()) / 1000;
                    if (on_sleep) on_sleep();
                  }}) {}
  std::vector<std::string> said;
  double slept = 0;
  std::function<void()> on_sleep;
  DiskWait wait;
};

TEST(DiskWait, TriesAgainUntilThereIsRoomAndSaysSoOnce) {
  Waiting w(60);
  int tries = 0;
  w.wait.Do([&] {
    if (++tries < 20) throw DiskFull("[file] no room in /x");
  });
  EXPECT_EQ(tries, 20);
  ASSERT_EQ(w.said.size(), 2u);
  EXPECT_EQ(
      w.said[0].rfind("[disk] writing is paused and nothing is lost: [file] no room in /x", 0), 0u);
  EXPECT_EQ(w.said[1].rfind("[disk] there is room again", 0), 0u) << w.said[1];
  EXPECT_LT(w.slept, 20);
}

TEST(DiskWait, GivesUpAfterTheSetTimeAsUnavailable) {
  for (double seconds : {0.0, 0.25, 100.0}) {
    Waiting w(seconds);
    try {
      w.wait.Do([] { throw DiskFull("[file] no room in /x"); });
      FAIL() << "it must give up";
    } catch (const Error& error) {
      EXPECT_EQ(ExitCode(error.kind()), 75);
      EXPECT_NE(error.message().find("no room in /x"), std::string::npos) << error.message();
      EXPECT_NE(error.message().find("disk_wait_seconds"), std::string::npos) << error.message();
    }
    EXPECT_NEAR(w.slept, seconds, 0.01);
    EXPECT_EQ(w.said.size(), seconds > 90 ? 4u : seconds > 0 ? 1u : 0u) << "every 30 s";
  }
}

TEST(DiskWait, AStopEndsIt) {
  Waiting w(3600);
  std::stop_source stop;
  w.wait.set_stop(stop.get_token());
  w.on_sleep = [&] { stop.request_stop(); };
  EXPECT_THROW(w.wait.Do([] { throw DiskFull("full"); }), Error);
  EXPECT_LE(w.slept, 1);
}

TEST(DiskWait, OtherErrorsAreNotWaitedFor) {
  Waiting w(3600);
  EXPECT_THROW(w.wait.Do([] { ThrowInternal("[file] cannot sync"); }), Error);
  EXPECT_THROW(w.wait.Do([] { ThrowUnavailable("[file] cannot sync: no room"); }), Error);
  EXPECT_EQ(w.slept, 0);
}

// The limit is reached in the middle of a frame and lifted while the writer waits: no byte is
// written twice.
TEST(DiskWait, AFrameGoesOnInItsMiddle) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 5'003;
  Waiting w(60);
  w.on_sleep = [&] { ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0); };
  {
    RecordWriter writer(path, 0, &w.wait);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 100; ++i) writer.Append(std::string(100, static_cast<char>('a' + i % 26)));
    writer.Sync();
    EXPECT_EQ(writer.offset_bytes(), FileSize(path));
  }
  signal(SIGXFSZ, handler);
  ASSERT_EQ(w.said.size(), 2u);
  EXPECT_NE(w.said[0].find("ulimit -f"), std::string::npos) << w.said[0];
  RecordReader reader(path);
  int records = 0;
  for (std::string record; reader.Next(&record); ++records) {
    EXPECT_EQ(record, std::string(100, static_cast<char>('a' + records % 26)));
  }
  EXPECT_FALSE(reader.torn());
  EXPECT_EQ(records, 100);
}

TEST(CheckRoom, NamesTheFolderAndWhatIsMissing) {
  const TempFolder folder;
  EXPECT_NO_THROW(CheckRoom(folder.path(), 1));
  try {
    CheckRoom(folder.path(), uint64_t{1} << 62);
    FAIL() << "no disk is that large";
  } catch (const DiskFull& full) {
    EXPECT_NE(full.message().find(folder.path() + " needs 4611686018427387904 bytes"),
              std::string::npos)
        << full.message();
  }
}

}  // namespace
}  // namespace grouper
