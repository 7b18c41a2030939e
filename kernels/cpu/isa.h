// Instruction sets with equal bits: one source, three compilations (numerics.md 9). Dispatch
// happens once, at start, and GROUPER_CPU=avx512|avx2|scalar overrides the probe.
#pragma once

#include <string>
#include <vector>

namespace grouper::cpu {

enum class Isa { kScalar, kAvx2, kAvx512 };

const char* NameOf(Isa isa);
// What this machine can run, best first; kScalar is always there.
std::vector<Isa> AvailableIsas();
// The best one, or what GROUPER_CPU names; kUser when that is unknown or missing on this machine.
Isa ChooseIsa();
// GROUPER_THREADS, else the number of cores this process may use; kUser when it is no number
// in 1..1024.
int ChooseThreads();

}  // namespace grouper::cpu
