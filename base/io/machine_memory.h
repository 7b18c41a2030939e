// How much memory this process may fill: the machine's, or less where a control group (a container,
// a Slurm job, a systemd unit) sets a limit.
#pragma once

#include <cstdint>
#include <string>

namespace grouper {

// root: the folder that holds /proc and /sys; tests give a folder of their own. 0 when unknown.
int64_t MachineMemoryBytes(const std::string& root = "");

}  // namespace grouper
