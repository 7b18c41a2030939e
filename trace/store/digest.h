// A SHA-256 over everything that makes two traces identical (docs/formats.md): steps; the ids and
// the text of prompts; the ids, text, log-prob bits, entropy bits, experts, finish reasons and
// policy versions of completions; the status, verdict, reason, components, reward and advantage of
// scores. Times, hosts, the cached flag and the configuration are left out. The order of the groups
// and of their members counts. Not thread-safe.
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
  // Returns 64 hexadecimal digits. Call it once.
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
