#include "rl/command/quickstart_config.h"

#include <algorithm>

#include "proto/textproto.h"

namespace grouper {
namespace {

// Shrinks the stage to a policy of 25 thousand parameters and a few steps that still pass through
// every part. Such a policy gets no answer right, so the overlong component is added: it gives the
// members of a group different rewards, so that there are updates.
void Shrink(Config* config) {
  MergeTextproto(R"(
    prompts_per_step: 4 group_size: 4 eval_every: 2 checkpoint_every: 2
    policy { width: 32 layers: 2
             attention { heads: 2 kv_heads: 1 head_dim: 16 }
             moe { experts: 4 experts_per_token: 2 width: 32 shared_width: 32 } }
    sampling { max_new_tokens: 24 }
    eval { questions: 8 samples: 2 }
    sft { documents_per_step: 8 })",
                 "smoke", config);
  config->set_steps(std::min<int64_t>(config->steps(), 4));
  config->mutable_sft()->set_steps(config->sft().steps() > 500 ? 30 : 15);
  for (Rubric& rubric : *config->mutable_reward()->mutable_rubric()) {
    Component* component = rubric.add_component();
    component->set_name("overlong");
    component->set_weight(0.5);
    component->set_max_tokens(24);
    component->set_ramp_tokens(24);
  }
}

}  // namespace

Config QuickstartConfig(QuickstartStage stage, uint64_t seed, bool smoke) {
  Config config;
  MergeTextproto(QuickstartText(stage), "quickstart", &config);
  config.set_seed(seed);
  if (smoke) Shrink(&config);
  return config;
}

}  // namespace grouper
