#include "rl/algorithm/profile.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <array>

#include "base/error.h"
#include "proto/did_you_mean.h"
#include "proto/textproto.h"

namespace grouper {
namespace {

namespace pb = google::protobuf;

struct Profile {
  const char* name;
  const char* settings;
};

// Values that a recipe's paper does not give are left to the defaults, or are our reading (R1's
// deviation, eps and clamp). A profile must not set a repeated field, because merging would append
// to it.
constexpr std::array<Profile, 3> kProfiles = {{
    // DAPO (arXiv:2503.14476): mean over tokens, clip-higher, only groups with signal.
    {"dapo", R"(
      prompts_per_step: 512 group_size: 16
      batch { minibatches: 16 split: BY_GROUP }
      advantage { kind: GRPO std: SAMPLE eps: 1e-6 }
      loss { surrogate: PPO aggregation: TOKEN clip_low: 0.2 clip_high: 0.28 dual_clip: 10
             log_ratio_clamp: 20 kl: NONE }
      optimizer { lr: 1e-6 schedule: CONSTANT warmup_updates: 10 weight_decay: 0.1
                  max_grad_norm: 1 }
      dynamic_sampling { enabled: true max_rounds: 10 })"},
    // Dr. GRPO (arXiv:2503.20783): no deviation, and no division by the length.
    {"drgrpo", R"(
      batch { minibatches: 1 }
      advantage { kind: CENTERED }
      loss { surrogate: PPO aggregation: CONST clip_low: 0.2 clip_high: 0.2 dual_clip: 0
             log_ratio_clamp: 20 kl: NONE })"},
    // DeepSeek-R1 (Nature 2025): 512 questions with 16 outputs each per step, 16 updates per
    // step, and a reference that is at most 400 updates old.
    {"r1", R"(
      prompts_per_step: 512 group_size: 16
      batch { minibatches: 16 split: BY_OUTPUT }
      advantage { kind: GRPO std: SAMPLE eps: 1e-6 }
      loss { surrogate: PPO aggregation: SEQ clip_low: 10 clip_high: 10 dual_clip: 0
             log_ratio_clamp: 20 kl: K3 kl_beta: 0.001 kl_place: IN_LOSS }
      optimizer { lr: 3e-6 schedule: CONSTANT }
      reference { refresh_every: 400 })"},
}};

// Clears every field of message that has the same value in `base`, also in the messages below.
void ClearEqual(const pb::Message& base, pb::Message* message) {
  const pb::Reflection& reflection = *message->GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(base, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (field->is_repeated() || !reflection.HasField(*message, field)) continue;
    if (field->message_type() != nullptr) {
      ClearEqual(reflection.GetMessage(base, field), reflection.MutableMessage(message, field));
      continue;
    }
    // A field alone, as text, in each of the two.
    const auto text = [&](const pb::Message& from) {
      std::string value;
      pb::TextFormat::PrintFieldValueToString(from, field, -1, &value);
      return value;
    };
    if (text(base) == text(*message)) reflection.ClearField(message, field);
  }
}

}  // namespace

std::vector<std::string> ProfileNames() {
  std::vector<std::string> names;
  for (const Profile& profile : kProfiles) names.push_back(profile.name);
  return names;
}

void ApplyProfile(Config* config) {
  if (config->profile().empty()) return;
  for (const Profile& profile : kProfiles) {
    if (config->profile() != profile.name) continue;
    Config filled;
    MergeTextproto(profile.settings, std::string("profile ") + profile.name, &filled);
    filled.MergeFrom(*config);
    *config = std::move(filled);
    return;
  }
  const std::string nearest = NearestName(config->profile(), ProfileNames());
  ThrowUser("[config] profile \"" + Excerpt(config->profile()) + "\" is unknown; there are " +
            JoinNames(ProfileNames()) + ", and none at all" +
            (nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

Config WithoutProfile(const Config& config) {
  Config profile, own = config;
  profile.set_profile(config.profile());
  ApplyProfile(&profile);
  ClearEqual(profile, &own);
  return own;
}

}  // namespace grouper
