// Where an operator runs: an instruction set and a thread pool. An operator returns when it is
// done. Several threads can run whole forwards at the same time, each on a serial stream (without a
// pool).
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
