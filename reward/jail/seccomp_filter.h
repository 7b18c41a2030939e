// The system-call filter of the jail, compiled to BPF by libseccomp. It allows only the calls that
// Python, its threads and its event loops need: no new processes, no network, no memory of other
// processes, no kernel settings.
#pragma once

#include <string>

namespace grouper {

// kInternal when libseccomp refuses.
std::string CompileSeccompFilter();

}  // namespace grouper
