#include "base/io/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>

#include "base/error.h"
#include "tests/testing/temp_folder.h"

// Paths that were synced, in order: the product's calls end here.
static std::vector<std::string> synced_paths;
extern "C" int fsync(int fd) {
  char path[PATH_MAX] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (readlink(link.c_str(), path, sizeof(path) - 1) > 0) synced_paths.push_back(path);
  return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;
using Names = std::vector<std::string>;

TEST(Paths, JoinAndFolderOf) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(JoinPath("a", "/b"), "/b");  // an absolute path stays
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(FolderOf("a/b"), "a");
  EXPECT_EQ(FolderOf("a/b/"), "a");
  EXPECT_EQ(FolderOf("a//b"), "a");
  EXPECT_EQ(FolderOf("b"), ".");
  EXPECT_EQ(FolderOf("/b"), "/");
  EXPECT_EQ(FolderOf("//b"), "/");
  EXPECT_EQ(FolderOf("/"), "/");
  EXPECT_EQ(FolderOf(""), ".");
}

TEST(ReadFile, GivesAllBytesAndKeepsTheLimit) {
  const TempFolder folder;
  const std::string bytes("a\0b\n\xFF", 5);
  const std::string path = folder.Write("f", bytes);
  EXPECT_EQ(ReadFile(path, "config"), bytes);
  EXPECT_EQ(ReadFile(path, "config", 5), bytes);
  EXPECT_EQ(FileSize(path), 5u);
  EXPECT_EQ(ReadFile(folder.Write("empty", ""), "config", 0), "");
  const std::string message = UserErrorOf([&] { ReadFile(path, "config", 4); });
  EXPECT_EQ(message,
            "[config] " + path + " is larger than the limit of 4 bytes; name another file");
}

// Files of /proc claim to hold 0 bytes, so the limit must count the bytes that are read.
TEST(ReadFile, FilesWithoutASizeAreReadAndLimited) {
  const std::string status = ReadFile("/proc/self/status", "proc");
  EXPECT_NE(status.find("Pid:"), std::string::npos);
  UserErrorOf([] { ReadFile("/proc/self/status", "proc", 10); });
}

TEST(ReadFile, MissingFilesAndFoldersNamePathAndNextAction) {
  const TempFolder folder;
  const std::string missing = JoinPath(folder.path(), "none/f");
  EXPECT_EQ(UserErrorOf([&] { ReadFile(missing, "data.train"); }),
            "[data.train] cannot open " + missing +
                ": No such file or directory; check the path and its permissions");
  EXPECT_EQ(UserErrorOf([&] { ReadFile(folder.path(), "data.train"); }),
            "[data.train] " + folder.path() + " is a folder; name a file");
  EXPECT_EQ(UserErrorOf([&] { MappedFile map(folder.path(), "weights"); }),
            "[weights] " + folder.path() + " is a folder; name a file");
  UserErrorOf([&] { FileSize(missing); });
  UserErrorOf([&] { SyncFile(missing); });
  UserErrorOf([&] { SyncFolder(missing); });
  UserErrorOf([&] { AppendFile file(missing); });
}

// Runs in a child without our rights, because root may read everything.
TEST(ReadFile, AFileWithoutPermissionIsThePersonsToFix) {
  const TempFolder folder;
  const std::string path = folder.Write("secret", "x");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
    try {
      ReadFile(path, "data.train");
      _exit(1);
    } catch (const Error& error) {
      const bool named = error.message().find("cannot open " + path + ": Permission denied; ") !=
                         std::string::npos;
      _exit(error.kind() == ErrorKind::kUser && named ? 0 : 2);
    }
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(MappedFile, ShowsTheBytesAlsoOfAnEmptyFile) {
  const TempFolder folder;
  const MappedFile full(folder.Write("f", "bytes"), "weights");
  const MappedFile empty(folder.Write("e", ""), "weights");
  EXPECT_EQ(full.bytes(), "bytes");
  EXPECT_TRUE(empty.bytes().empty());
}

TEST(Folders, AreMadeListedAndRemoved) {
  const TempFolder folder;
  const std::string deep = JoinPath(folder.path(), "a/b//c/");
  MakeFolders(deep);
  MakeFolders(deep);
  EXPECT_TRUE(FolderExists(deep));
  EXPECT_FALSE(FileExists(deep));
  folder.Write("z", "");
  folder.Write("m", "");
  EXPECT_EQ(ListFolder(folder.path()), (Names{"a", "m", "z"}));
  EXPECT_EQ(ListFolder(JoinPath(folder.path(), "none")), Names{});
  UserErrorOf([&] { ListFolder(JoinPath(folder.path(), "m")); });
  const std::string blocked = JoinPath(folder.path(), "m/x");
  const std::string message = UserErrorOf([&] { MakeFolders(blocked); });
  EXPECT_NE(message.find(JoinPath(folder.path(), "m")), std::string::npos) << message;
  UserErrorOf([&] { MakeFolders(JoinPath(folder.path(), "m")); });
  RemoveTree(JoinPath(folder.path(), "a"));
  RemoveTree(JoinPath(folder.path(), "a"));
  EXPECT_FALSE(FolderExists(JoinPath(folder.path(), "a")));
}

// A folder whose parent was never synced is gone after a power cut, with all that was synced in it.
TEST(Folders, AreMadeDurably) {
  const TempFolder folder;
  synced_paths.clear();
  MakeFolders(JoinPath(folder.path(), "a/b"));
  EXPECT_EQ(synced_paths, (Names{folder.path(), JoinPath(folder.path(), "a")}));
  synced_paths.clear();
  MakeFolders(JoinPath(folder.path(), "a/b"));
  EXPECT_EQ(synced_paths, Names{}) << "what stands costs nothing";
}

TEST(PublishFile, SyncsTheFileBeforeTheRenameAndTheFolderBehindIt) {
  const TempFolder folder;
  synced_paths.clear();
  PublishFile(JoinPath(folder.path(), "f"), "x");
  EXPECT_EQ(synced_paths, (Names{JoinPath(folder.path(), "f.tmp"), folder.path()}));
}

// A link may lead to files of another owner, so only the link is removed.
TEST(Folders, RemoveTreeDoesNotFollowLinks) {
  const TempFolder folder;
  const std::string kept = folder.Write("kept", "x"), tree = JoinPath(folder.path(), "tree");
  MakeFolders(tree);
  ASSERT_EQ(symlink(folder.path().c_str(), JoinPath(tree, "link").c_str()), 0);
  RemoveTree(tree);
  EXPECT_TRUE(FileExists(kept));
  EXPECT_FALSE(FolderExists(tree));
}

TEST(PublishFile, PutsTheWholeFileAndNothingElse) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  PublishFile(path, "one");
  EXPECT_EQ(ReadFile(path, "t"), "one");
  PublishFile(path, std::string(1 << 20, 'x'));
  PublishFile(path, "2");
  EXPECT_EQ(ReadFile(path, "t"), "2");
  PublishFile(path, "");
  EXPECT_EQ(FileSize(path), 0u);
  EXPECT_EQ(ListFolder(folder.path()), Names{"f"});
}

TEST(PublishFile, AnOldTemporaryIsNotInTheWay) {
  const TempFolder folder;
  folder.Write("f.tmp", "longer than the new file: left by a kill");
  PublishFile(JoinPath(folder.path(), "f"), "new");
  EXPECT_EQ(ReadFile(JoinPath(folder.path(), "f"), "t"), "new");
  EXPECT_EQ(ListFolder(folder.path()), Names{"f"});
}

TEST(PublishFile, AReaderOfTheOldFileKeepsIt) {
  const TempFolder folder;
  const std::string path = folder.Write("f", "old");
  const MappedFile old(path, "t");
  PublishFile(path, "new");
  EXPECT_EQ(old.bytes(), "old");
  EXPECT_EQ(ReadFile(path, "t"), "new");
}

TEST(AppendFile, GoesOnWhereTheFileEndsOrWhereItIsCut) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  {
    AppendFile file(path);
    file.Append("abc");
    EXPECT_EQ(file.size_bytes(), 3u);
    file.Flush();
    EXPECT_EQ(ReadFile(path, "t"), "abc");
    file.Append("def");
    file.Sync();
    EXPECT_EQ(ReadFile(path, "t"), "abcdef");
    file.Append("ghi");  // the destructor writes it
  }
  {
    AppendFile file(path);
    EXPECT_EQ(file.size_bytes(), 9u);
    file.Append("j");
  }
  EXPECT_EQ(ReadFile(path, "t"), "abcdefghij");
  { AppendFile(path, 4).Append("X"); }
  EXPECT_EQ(ReadFile(path, "t"), "abcdX");
  { AppendFile same(path, 5); }
  { AppendFile none(path, 0); }
  EXPECT_EQ(FileSize(path), 0u);
}

TEST(AppendFile, RefusesAFileThatIsShorterThanTheOffset) {
  const TempFolder folder;
  const std::string path = folder.Write("f", "abc");
  const std::string message = UserErrorOf([&] { AppendFile file(path, 4); });
  EXPECT_NE(message.find("file=" + path + " file_bytes=3 offset=4"), std::string::npos) << message;
  EXPECT_EQ(ReadFile(path, "t"), "abc");
}

TEST(AppendFile, TakesBackWhatWasAppendedInTheFileAndInTheBuffer) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  AppendFile file(path);
  file.Append("kept");
  file.Flush();
  file.Append("-in the file");
  file.Flush();
  file.Append("-in the buffer");
  file.CutBack(20);
  EXPECT_EQ(file.size_bytes(), 20u);
  file.CutBack(4);
  file.Append("+new");
  file.Sync();
  EXPECT_EQ(ReadFile(path, "test"), "kept+new");
  EXPECT_EQ(file.size_bytes(), 8u);
  EXPECT_THROW(file.CutBack(9), Error);
}

TEST(AppendFile, LargeAppendsReachTheFileByThemselves) {
  const TempFolder folder;
  const std::string path = JoinPath(folder.path(), "f");
  AppendFile file(path);
  const std::string piece(100'000, 'p');
  for (int i = 0; i < 10; ++i) file.Append(piece);
  EXPECT_GE(FileSize(path), 750'000u);
  file.Flush();
  EXPECT_EQ(FileSize(path), 1'000'000u);
  EXPECT_EQ(file.size_bytes(), 1'000'000u);
}

}  // namespace
}  // namespace grouper
