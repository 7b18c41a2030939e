// The system-call filter of the jail, compiled to BPF by libseccomp: an allow-list of what Python,
// its threads and event loops need. No new processes, no network, no foreign memory, no kernel
// settings.
#pragma once

#include <string>

namespace grouper {

// kInternal when libseccomp refuses.
std::string CompileSeccompFilter();

}  // namespace grouper
