// The system-call filter of the jail, compiled to BPF by libseccomp. It allows only the calls that
// Python, its threads and its event loops need: no new processes, no network, no memory of other
// processes, no kernel settings.
#pragma once

#include <string>

namespace grouper {

struct FilterOptions {
  // False: the process shares the machine's pids and sockets, so the filter also keeps it from
  // signalling and changing other processes. StartConfined replaces kOwnPid by its pid.
  bool namespaces = true;
  bool refuse_truncation = false;  // where Landlock cannot
};

// kInternal when libseccomp refuses.
std::string CompileSeccompFilter(const FilterOptions& options);

}  // namespace grouper
