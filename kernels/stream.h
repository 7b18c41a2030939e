// Where an operator runs. On the CPU: an instruction set and a pool; operators return when done. A
// serial stream (no pool) lets several threads run whole forwards side by side.
#pragma once

#include "kernels/cpu/isa.h"

namespace grouper {

namespace cpu {
class ThreadPool;
}

struct Stream {
  cpu::Isa isa = cpu::Isa::kScalar;
  cpu::ThreadPool* pool = nullptr;  // not owned; nullptr: the calling thread alone
};

}  // namespace grouper
