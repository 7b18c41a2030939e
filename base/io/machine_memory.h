// How much memory this process may fill: the machine's, or less where a control group (a container,
// a Slurm job, a systemd unit) says so.
#pragma once

#include <cstdint>
#include <string>

namespace grouper {

// root: where /proc and /sys lie; tests give a folder of their own. 0 when nothing says.
int64_t MachineMemoryBytes(const std::string& root = "");

}  // namespace grouper
