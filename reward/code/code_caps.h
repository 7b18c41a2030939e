// What a service allows judged programs at most. Limits come from the caller's rubric, so without
// caps a caller could ask for an hour and a terabyte.
#pragma once

#include <string>
#include <vector>

#include "proto/reward.pb.h"

namespace grouper {

// Clients refuse results with more tests.
inline constexpr int kMostTests = 65536;

// The smaller of what is asked for and what is allowed. Adds "limit_capped: NAME", such as
// "limit_capped: cpu_seconds", for each limit that was made smaller.
CodeRules Capped(const CodeRules& asked, const reward::v1::CodeCaps& caps,
                 std::vector<std::string>* flags);

}  // namespace grouper
