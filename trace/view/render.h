// Shows a group as text for a terminal: the prompt, then each completion with its reward,
// advantage, verdict and reason, answer, finish reason, policy version, and its text. Each token is
// coloured by log-prob or entropy. All foreign text goes through escape.h, so the only control
// characters are the SGR sequences of our own colours.
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
  TokenColor color = TokenColor::kOff;      // with kOff no escape sequence is written
  bool tokens = false;                      // list the tokens below each text, one per line
  std::optional<uint64_t> rollout_id = {};  // show only this member
};

void RenderGroup(const GroupEntry& entry, const RenderOptions& options, std::ostream& out);

// The entry of the 256-colour palette for a token's background, or 0 for none. Log-probs go from
// white (likely) to red (-6 and below), entropies from white (0 nats) to violet (3 and more). NaN
// is grey.
int LogProbBackground(float log_prob);
int EntropyBackground(float entropy);

// For example "3 CORRECT, 1 TIMEOUT": the verdicts of SCORED members and the statuses of the
// others.
std::string VerdictSummary(const Group& group);
std::string VerdictName(const reward::v1::ScoreResult& score);

}  // namespace grouper
