// Upper bounds on the frames of a trace. A frame has at most kMaxRecordBytes, so settings and rows
// whose frames could be larger are refused before a run starts. Pure functions.
#pragma once

#include <cstdint>

namespace grouper {

// All scores of a group together; what a scorer says beyond that is cut (stored_scores.h).
inline constexpr uint64_t kMostScoreBytes = uint64_t{16} << 20;
// Headers of messages and of their fields.
inline constexpr uint64_t kFrameSlackBytes = uint64_t{64} << 10;
// Of one token, in text; no token of a vocabulary in use is longer.
inline constexpr uint64_t kMostTokenText = 128;

// The frame of a completion of so many tokens; expert_bytes: MoE layers x experts per token.
inline constexpr uint64_t MostCompletionBytes(uint64_t tokens, uint64_t expert_bytes) {
  constexpr uint64_t kVarint = 5, kFloat = 4;
  // Id, end in the text and size of the kept set; log-prob and entropy.
  return tokens * (3 * kVarint + 2 * kFloat + kMostTokenText + expert_bytes) + kFrameSlackBytes;
}

// The frame of a group of so many members. text_bytes: the prompt and the correct answers.
inline constexpr uint64_t MostGroupBytes(uint64_t text_bytes, uint64_t prompt_tokens,
                                         uint64_t expert_bytes, uint64_t members) {
  constexpr uint64_t kVarint = 5, kMember = 64;  // rollout id, index, advantage, penalty
  return text_bytes + prompt_tokens * (kVarint + expert_bytes) + members * kMember +
         kMostScoreBytes + kFrameSlackBytes;
}

}  // namespace grouper
