// The system-call filter of the jail, compiled to BPF by libseccomp. It allows only the calls that
// Python, its threads and its event loops need: no new processes, no network, no memory of other
// processes, no kernel settings.
#pragma once

#include <string>

namespace grouper {

// in_namespaces: the process sees no other process, no writable file and no socket of the machine.
// Otherwise the filter also limits arguments that would reach them; calls that name a process by
// its number are limited by walled_start.h. kInternal when libseccomp refuses.
std::string CompileSeccompFilter(bool in_namespaces);

}  // namespace grouper
