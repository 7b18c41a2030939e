// Starts a program without namespaces, as one process that is confined before the program begins:
// a session of its own, an unprivileged user where the caller is root, no new privileges, no
// capabilities, Landlock, a system-call filter, and no descriptor but its four. The process dies
// with the thread that started it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace grouper {

// Stands for the confined process's own pid in a filter; it is replaced before the filter is
// installed. No number that a filter compares with is equal to it.
inline constexpr int kOwnPid = 0x7ffe0b1d;

struct ConfinedProgram {
  std::vector<std::string> argv;  // argv[0] is the absolute path of the program
  std::vector<std::string> environment;
  int in, out, complaint;     // become descriptors 0, 3, and 1 and 2
  int landlock;               // LandlockRules::fd()
  unsigned number;            // of this process; a root caller gives each number a user of its own
  const std::string& filter;  // a compiled BPF program
};

// Returns the pid of a child of the calling thread, or -1 and sets *problem. Whatever goes wrong in
// the child before the program begins is written to `complaint`, and the child ends. It is safe
// while other threads run: the child makes only system calls.
pid_t StartConfined(const ConfinedProgram& program, std::string* problem);

}  // namespace grouper
