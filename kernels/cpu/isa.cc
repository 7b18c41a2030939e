#include "kernels/cpu/isa.h"

#include <cstdlib>

#include "base/error.h"
#include "base/thread.h"

namespace grouper::cpu {

const char* NameOf(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

std::vector<Isa> AvailableIsas() {
  std::vector<Isa> isas;
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back(Isa::kAvx512);
  }
  if (avx2) isas.push_back(Isa::kAvx2);
  isas.push_back(Isa::kScalar);
  return isas;
}

Isa ChooseIsa() {
  const std::vector<Isa> available = AvailableIsas();
  const char* wanted = std::getenv("GROUPER_CPU");
  if (wanted == nullptr || *wanted == '\0') return available.front();
  const std::string name = wanted;
  for (Isa isa : available) {
    if (name == NameOf(isa)) return isa;
  }
  USER_CHECK(name == "avx512" || name == "avx2", "[cpu] GROUPER_CPU must be avx512, avx2 or scalar",
             Named("GROUPER_CPU", name));
  ThrowUser(
      "[cpu] this machine lacks the instruction set that GROUPER_CPU asks for; unset it or set it "
      "to scalar",
      Named("GROUPER_CPU", name));
}

int ChooseThreads() {
  if (const char* wanted = std::getenv("GROUPER_THREADS"); wanted != nullptr && *wanted != '\0') {
    char* end = nullptr;
    const long threads = std::strtol(wanted, &end, 10);
    USER_CHECK(*end == '\0' && threads >= 1 && threads <= 1024,
               "[cpu] GROUPER_THREADS must be a number from 1 to 1024",
               Named("GROUPER_THREADS", wanted));
    return static_cast<int>(threads);
  }
  return UsableCores();
}

}  // namespace grouper::cpu
