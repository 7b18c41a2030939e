// Instruction sets. They give equal bits: one source, three compilations (docs/numerics.md 12). A
// session chooses one at its start; GROUPER_CPU=avx512|avx2|scalar overrides that choice.
#pragma once

#include <string>
#include <vector>

namespace grouper::cpu {

enum class Isa { kScalar, kAvx2, kAvx512 };

const char* NameOf(Isa isa);
// What this machine can run, best first; kScalar is always there.
std::vector<Isa> AvailableIsas();
// The best one, or the one that GROUPER_CPU names; kUser if this machine does not have it or its
// name is unknown.
Isa ChooseIsa();
// GROUPER_THREADS, or else the number of cores that this process may use; kUser if GROUPER_THREADS
// is not a number from 1 to 1024.
int ChooseThreads();

}  // namespace grouper::cpu
