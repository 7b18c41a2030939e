// Landlock (Linux 5.13): a process restricts for good what it and its children can open
// (https://docs.kernel.org/userspace-api/landlock.html). The rules here leave a program the
// system's libraries to read and execute, a few devices to read, and nothing to write.
#pragma once

#include <string>

namespace grouper {

class LandlockRules {
 public:
  // Uses at most version `most_abi` of the kernel's interface; tests lower it. If problem() is not
  // empty, this kernel cannot restrict a process in this way, and fd() is -1.
  explicit LandlockRules(int most_abi = 1000);
  ~LandlockRules();
  LandlockRules(const LandlockRules&) = delete;
  LandlockRules& operator=(const LandlockRules&) = delete;

  const std::string& problem() const { return problem_; }
  int abi() const { return abi_; }
  // For landlock_restrict_self, in a process that has set no_new_privs.
  int fd() const { return fd_; }
  // From version 3 on, Landlock also refuses to truncate files; before, the system-call filter
  // must.
  bool refuses_truncation() const { return abi_ >= 3; }

 private:
  std::string problem_;
  int abi_ = 0;
  int fd_ = -1;
};

}  // namespace grouper
