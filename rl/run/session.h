// What every command that runs the policy needs, made from a resolved config: threads, tokenizer,
// policy with its first weights, engine. Order of members is order of construction and, reversed,
// of destruction.
#pragma once

#include <memory>
#include <string>

#include "kernels/cpu/parallel.h"
#include "policy/policy.h"
#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"
#include "rollout/engine/engine.h"

namespace grouper {

struct SessionOptions {
  int threads = 0;  // 0: GROUPER_THREADS, else the cores of this process
};

// kUser when a checkpoint was made with another tokenizer than the config's: equal shapes would
// hide that every id means something else.
void CheckTokenizer(const std::string& folder, const Manifest& manifest, const Config& config);

// The tokenizer of data.tokenizer; completes config->policy.vocab_size from it. kUser when the
// config asks for another.
std::unique_ptr<Tokenizer> MakeTokenizer(Config* config);

class Session {
 public:
  // Completes the config as MakeTokenizer does. Weights: config.init_from, else random from the
  // seed.
  Session(Config* config, const SessionOptions& options);

  Stream& stream() { return stream_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  Policy& policy() { return *policy_; }
  Engine& engine() { return *engine_; }
  // After weights were loaded from elsewhere.
  void WeightsChanged() { policy_->weights().RefreshTransposed(stream_); }

 private:
  std::unique_ptr<cpu::ThreadPool> pool_;
  Stream stream_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace grouper
