// A group as text for a terminal: prompt, then each completion with reward, advantage, verdict and
// why, answer, finish, policy version, and its text, each token coloured by log-prob or entropy.
// All foreign text goes through escape.h: with colours on, our own SGR sequences are the only
// control characters.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "proto/trace.pb.h"
#include "trace/store/trace_reader.h"

namespace grouper {

enum class TokenColor { kOff, kLogProb, kEntropy };

struct RenderOptions {
  TokenColor color = TokenColor::kOff;      // kOff writes no escape sequence at all
  bool tokens = false;                      // list one token a line below each text
  std::optional<uint64_t> rollout_id = {};  // show this member alone
};

void RenderGroup(const GroupEntry& entry, const RenderOptions& options, std::ostream& out);

// Entry of the 256-colour palette for a token's background, 0 for none. Log-probs go from white
// (likely) to red (at and below -6), entropies from white (0 nats) to violet (3 and more); NaN is
// grey.
int LogProbBackground(float log_prob);
int EntropyBackground(float entropy);

// "3 CORRECT, 1 TIMEOUT": verdicts of SCORED members, statuses of the others.
std::string VerdictSummary(const Group& group);
std::string VerdictName(const reward::v1::ScoreResult& score);

}  // namespace grouper
