#include "base/io/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

namespace grouper {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// A file that holds one number; "max", or none: no limit.
int64_t LimitIn(const std::string& path) {
  std::ifstream in(path);
  uint64_t bytes = 0;
  if (!(in >> bytes) || bytes > static_cast<uint64_t>(kNoLimit)) return kNoLimit;
  return static_cast<int64_t>(bytes);
}

// MemTotal:       24576000 kB
int64_t TotalIn(const std::string& path) {
  std::ifstream in(path);
  for (std::string name; in >> name;) {
    int64_t kib = 0;
    if (name == "MemTotal:" && in >> kib) return kib * 1024;
  }
  return kNoLimit;
}

// The limits of the group that `line` of /proc/self/cgroup names and of those above it.
int64_t LimitOfGroups(const std::string& root, const std::string& line) {
  // 0::/a/b is version 2; 4:memory:/a/b and 4:cpu,memory:/a/b are version 1.
  const size_t first = line.find(':');
  if (first == std::string::npos) return kNoLimit;
  const size_t second = line.find(':', first + 1);
  if (second == std::string::npos) return kNoLimit;
  const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
  const bool unified = controllers == ",,";
  if (!unified && controllers.find(",memory,") == std::string::npos) return kNoLimit;
  const std::string mount = root + (unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
  const std::string file = unified ? "/memory.max" : "/memory.limit_in_bytes";
  int64_t least = LimitIn(mount + file);
  for (std::string group = line.substr(second + 1); group.size() > 1;
       group.resize(group.rfind('/'))) {
    least = std::min(least, LimitIn(mount + group + file));
    if (group.rfind('/') == std::string::npos) break;
  }
  return least;
}

}  // namespace

int64_t MachineMemoryBytes(const std::string& root) {
  int64_t least = TotalIn(root + "/proc/meminfo");
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    least = std::min(least, LimitOfGroups(root, line));
  }
  return least == kNoLimit ? 0 : least;
}

}  // namespace grouper
