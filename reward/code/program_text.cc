#include "reward/code/program_text.h"

#include <algorithm>
#include <string_view>

namespace grouper {
namespace {

// True for a line that opens or closes a fenced block; `language` receives the text after the
// fence.
bool IsFence(std::string_view line, std::string* language) {
  const size_t at = line.find_first_not_of(' ');
  if (at == std::string_view::npos || at > 3 || line.substr(at, 3) != "```") return false;
  std::string_view rest = line.substr(at + 3);
  while (!rest.empty() && (rest.back() == '\r' || rest.back() == ' ')) rest.remove_suffix(1);
  if (rest.find('`') != std::string_view::npos) return false;
  *language = rest;
  return true;
}

// The last closed block that is marked as Python or not marked; empty when there is none.
std::optional<std::string> LastBlock(const std::string& answer, bool* any_fence) {
  std::optional<std::string> block;
  std::string language, opened_as;
  size_t open = std::string::npos;
  *any_fence = false;
  for (size_t begin = 0; begin < answer.size();) {
    size_t end = answer.find('\n', begin);
    if (end == std::string::npos) end = answer.size();
    if (IsFence(std::string_view(answer).substr(begin, end - begin), &language)) {
      *any_fence = true;
      if (open == std::string::npos) {
        open = std::min(end + 1, answer.size());
        opened_as = language;
      } else if (language.empty()) {
        if (opened_as.empty() || opened_as == "python" || opened_as == "py" ||
            opened_as == "python3") {
          block = answer.substr(open, begin - open);
        }
        open = std::string::npos;
      }
    }
    begin = end + 1;
  }
  return block;
}

}  // namespace

std::optional<std::string> ProgramOf(const std::string& answer,
                                     const reward::v1::CodeProblem& problem) {
  if (problem.wrap().empty()) {
    bool any_fence = false;
    std::optional<std::string> block = LastBlock(answer, &any_fence);
    return any_fence ? block : answer;
  }
  const size_t at = problem.wrap().find("{answer}");
  if (at == std::string::npos) return std::nullopt;
  return problem.wrap().substr(0, at) + answer + problem.wrap().substr(at + 8) + "\n";
}

}  // namespace grouper
