// The files that a judged program may see where it has no mount namespace of its own (landlock(7)):
// the system's programs and libraries for reading and running, a few devices, nothing else.
// Landlock has no say over questions about a path (stat, access, readlink), so names and sizes of
// files stay visible.
#pragma once

#include <cstdint>
#include <string>

namespace grouper {

class LandlockRules {
 public:
  // Makes the rules once, of the kernel's version of Landlock, at most `most_abi`; any number of
  // processes may take them. If problem() is not empty, there are none.
  explicit LandlockRules(int most_abi);
  ~LandlockRules();
  LandlockRules(const LandlockRules&) = delete;
  LandlockRules& operator=(const LandlockRules&) = delete;

  const std::string& problem() const { return problem_; }
  int fd() const { return fd_; }    // for landlock_restrict_self; closed on exec
  int abi() const { return abi_; }  // the version of Landlock in use

 private:
  void Allow(const char* path, uint64_t access, bool required);
  int fd_ = -1, abi_ = 0;
  std::string problem_;
};

}  // namespace grouper
