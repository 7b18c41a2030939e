// Finds the program in an answer. A pure function.
#pragma once

#include <optional>
#include <string>

#include "proto/reward.pb.h"

namespace grouper {

// With a wrap: the wrap, with {answer} replaced once. Without one: the last closed fenced block
// that is marked as Python or not marked, or the whole answer if it has no fence. Empty: there is
// no program.
std::optional<std::string> ProgramOf(const std::string& answer,
                                     const reward::v1::CodeProblem& problem);

}  // namespace grouper
