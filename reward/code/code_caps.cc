#include "reward/code/code_caps.h"

namespace grouper {
namespace {

template <typename T>
T Smaller(const char* name, T asked, T cap, std::vector<std::string>* flags) {
  if (cap <= 0 || asked <= cap) return asked;
  flags->push_back(std::string("limit_capped: ") + name);
  return cap;
}

}  // namespace

CodeRules Capped(const CodeRules& asked, const reward::v1::CodeCaps& caps,
                 std::vector<std::string>* flags) {
  CodeRules rules = asked;
  rules.set_cpu_seconds(Smaller("cpu_seconds", asked.cpu_seconds(), caps.cpu_seconds(), flags));
  rules.set_wall_seconds(Smaller("wall_seconds", asked.wall_seconds(), caps.wall_seconds(), flags));
  rules.set_memory_bytes(Smaller("memory_bytes", asked.memory_bytes(), caps.memory_bytes(), flags));
  rules.set_output_bytes(Smaller("output_bytes", asked.output_bytes(), caps.output_bytes(), flags));
  return rules;
}

}  // namespace grouper
