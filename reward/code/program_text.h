// Reads the program out of an answer. Pure.
#pragma once

#include <optional>
#include <string>

#include "proto/reward.pb.h"

namespace grouper {

// The wrap with {answer} replaced once; without a wrap the last closed fenced block (python's or
// unmarked), or all when there is no fence. Empty: there is no program.
std::optional<std::string> ProgramOf(const std::string& answer,
                                     const reward::v1::CodeProblem& problem);

}  // namespace grouper
