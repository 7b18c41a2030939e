// Starts one program that cannot leave its walls although it shares the machine's namespaces: no
// new privileges, an unprivileged user, Landlock, a system-call filter, a session of its own. It
// dies with the thread that started it.
#pragma once

#include <sys/types.h>

#include <string>

namespace grouper {

struct WalledProgram {
  char* const* argv;             // argv[0] is the absolute path
  char* const* environment;      // all of it
  int input, output, complaint;  // become 0, 3, and 1 with 2; their own numbers are 16 or above
  int landlock;                  // LandlockRules::fd()
  const std::string* filter;     // CompileSeccompFilter
};

// Returns the process, or -1 with errno. What fails between the start and the program's own first
// instruction is written to `complaint` in words, and the process ends. It is safe while other
// threads run: the new process makes system calls only, on what was prepared before.
pid_t StartWalled(const WalledProgram& program);

// True if every walled process gets a user id that no other process has, so that RLIMIT_NPROC
// counts its threads alone.
bool WalledHasOwnUser();

}  // namespace grouper
