// What every command that runs the policy needs, made from a resolved config: threads, tokenizer,
// the policy with its first weights, and the engine. The members are constructed in their order and
// destroyed in the reverse order.
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
  // False: the weights stay undefined until the caller has loaded some.
  bool first_weights = true;
};

// kUser when a checkpoint was made with another tokenizer than the config's, because equal shapes
// would hide that every id means something else.
void CheckTokenizer(const std::string& folder, const Manifest& manifest, const Config& config);

// Makes the tokenizer of data.tokenizer and completes config->policy.vocab_size from it. kUser when
// the config has another vocab_size.
std::unique_ptr<Tokenizer> MakeTokenizer(Config* config);

class Session {
 public:
  // Completes the config as MakeTokenizer does and loads the first weights.
  Session(Config* config, const SessionOptions& options);

  Stream& stream() { return stream_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  Policy& policy() { return *policy_; }
  Engine& engine() { return *engine_; }
  // Gives the policy the weights that a run begins with: those of config.init_from, or else random
  // numbers from the seed. Returns weights_sha256 of the checkpoint; empty for random numbers.
  std::string LoadFirstWeights(const Config& config);
  // To be called after weights were loaded from elsewhere.
  void WeightsChanged() { policy_->weights().RefreshTransposed(stream_); }

 private:
  std::unique_ptr<cpu::ThreadPool> pool_;
  Stream stream_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Engine> engine_;
};

// How the policy of a session is sampled by sampling.*: one completion per prompt until the caller
// sets group_size.
GenerateOptions MakeGenerateOptions(const Config& config, uint64_t policy_version,
                                    Session* session);

}  // namespace grouper
