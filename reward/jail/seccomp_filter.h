// The system-call filter of the jail, compiled to BPF by libseccomp: what only an attacker calls is
// denied.
#pragma once

#include <string>

namespace grouper {

// kInternal when libseccomp refuses.
std::string CompileSeccompFilter();

}  // namespace grouper
