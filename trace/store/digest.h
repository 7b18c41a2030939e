// SHA-256 over what makes two traces identical (docs/formats.md): steps, prompts' ids and text,
// completions' ids, text, log-prob bits, entropy bits, experts, finish reasons, policy versions,
// and the scores' status, verdict, reason, components, reward, advantage. Not times, hosts, the
// cached flag, or the configuration. Groups in the order given, members in order of position. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/digest.h"
#include "proto/trace.pb.h"

namespace grouper {

class TraceDigest {
 public:
  TraceDigest();
  void Add(const Group& group);
  // 64 hexadecimal digits; call once.
  std::string FinishHex();

  int64_t groups() const { return groups_; }
  int64_t completions() const { return completions_; }
  int64_t tokens() const { return tokens_; }

 private:
  Sha256 hash_;
  std::string buffer_;
  int64_t groups_ = 0;
  int64_t completions_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace grouper
