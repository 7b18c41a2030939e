#include "rl/run/session.h"

#include "base/error.h"
#include "policy/checkpoint/checkpoint.h"
#include "policy/init.h"
#include "rl/algorithm/sampling_settings.h"
#include "rl/run/run_dir.h"

namespace grouper {

void CheckTokenizer(const std::string& folder, const Manifest& manifest, const Config& config) {
  USER_CHECK(
      manifest.tokenizer().empty() || manifest.tokenizer() == config.data().tokenizer(),
      "[checkpoint] the checkpoint was made with another tokenizer; set data.tokenizer to the "
      "checkpoint's",
      Named("checkpoint", folder), Named("its_tokenizer", manifest.tokenizer()),
      Named("data.tokenizer", config.data().tokenizer()));
}

std::unique_ptr<Tokenizer> MakeTokenizer(Config* config) {
  std::unique_ptr<Tokenizer> tokenizer = Tokenizer::Make(config->data().tokenizer());
  PolicyConfig* shape = config->mutable_policy();
  if (shape->vocab_size() == 0) shape->set_vocab_size(tokenizer->vocab_size());
  USER_CHECK(shape->vocab_size() == tokenizer->vocab_size(),
             "[config] policy.vocab_size is not that of the tokenizer; remove the setting",
             Named("policy.vocab_size", shape->vocab_size()),
             Named("tokenizer_vocab_size", tokenizer->vocab_size()));
  return tokenizer;
}

Session::Session(Config* config, const SessionOptions& options) {
  const int threads = options.threads > 0 ? options.threads : cpu::ChooseThreads();
  stream_.isa = cpu::ChooseIsa();
  if (threads > 1) pool_ = std::make_unique<cpu::ThreadPool>(threads);
  stream_.pool = pool_.get();
  tokenizer_ = MakeTokenizer(config);
  policy_ = std::make_unique<Policy>(config->policy(), DType::kFloat32);
  if (options.first_weights) LoadFirstWeights(*config);
  engine_ = std::make_unique<Engine>(*policy_, *tokenizer_, config->rollout(), stream_);
}

std::string Session::LoadFirstWeights(const Config& config) {
  if (config.init_from().empty()) {
    InitRandom(config.seed(), &policy_->weights(), stream_);
    return "";
  }
  const std::string folder = ResolveCheckpoint(config.init_from());
  const Manifest manifest = ReadCheckpointManifest(folder);
  CheckTokenizer(folder, manifest, config);
  LoadCheckpoint(folder, policy_.get(), nullptr);
  WeightsChanged();
  return manifest.weights_sha256();
}

GenerateOptions MakeGenerateOptions(const Config& config, uint64_t policy_version,
                                    Session* session) {
  GenerateOptions options;
  options.rule = RuleOf(config.sampling());
  options.max_new_tokens = config.sampling().max_new_tokens();
  options.stop_ids = StopIdsOf(config.sampling(), session->tokenizer());
  options.group_size = 1;
  options.seed = config.seed();
  options.policy_version = policy_version;
  options.weights_digest = session->policy().weights().Digest();
  return options;
}

}  // namespace grouper
