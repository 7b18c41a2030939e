#include "base/io/machine_memory.h"

#include <gtest/gtest.h>

#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

void Write(const TempFolder& folder, const std::string& path, const std::string& text) {
  MakeFolders(FolderOf(JoinPath(folder.path(), path)));
  folder.Write(path, text);
}

TEST(MachineMemory, IsTheMachinesOrTheLeastLimitOfTheGroupsAbove) {
  TempFolder folder;
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 0) << "nothing says";
  Write(folder, "proc/meminfo", "MemTotal:       8000 kB\nMemFree:   10 kB\n");
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 8192000);
  Write(folder, "proc/self/cgroup", "3:cpu:/x\n0::/a/b\n");
  Write(folder, "sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 8192000);
  Write(folder, "sys/fs/cgroup/a/memory.max", "5000000\n");
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 5000000);
  Write(folder, "sys/fs/cgroup/a/b/memory.max", "4000000\n");
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 4000000);
}

TEST(MachineMemory, ReadsGroupsOfVersionOne) {
  TempFolder folder;
  Write(folder, "proc/meminfo", "MemTotal: 8000 kB\n");
  Write(folder, "proc/self/cgroup", "5:cpu,memory:/job\n0::/\n");
  Write(folder, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write(folder, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3000000\n");
  EXPECT_EQ(MachineMemoryBytes(folder.path()), 3000000);
}

TEST(MachineMemory, KnowsThisMachine) { EXPECT_GT(MachineMemoryBytes(), int64_t{1} << 28); }

}  // namespace
}  // namespace grouper
