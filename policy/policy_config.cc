#include "policy/policy_config.h"

#include "base/error.h"
#include "kernels/moe/router_topk.h"
#include "proto/expert_ids.h"

namespace grouper {
namespace {

void Positive(const char* field, int64_t value, int64_t most) {
  USER_CHECK(value >= 1 && value <= most,
             std::string("[policy] ") + field + " must be from 1 to " + std::to_string(most) +
                 "; change it in the config",
             Named(field, value));
}

// NaN fails too.
void AboveZero(const char* field, double value, double most) {
  USER_CHECK(value > 0 && value <= most,
             std::string("[policy] ") + field +
                 " must be above 0 and not larger than the limit; change it in the config",
             Named(field, value), Named("limit", most));
}

// A trace must be able to hold every expert id.
static_assert(kMaxExperts <= kMostStorableExperts);

void CheckMoe(const MoeConfig& moe) {
  Positive("policy.moe.experts", moe.experts(), kMaxExperts);
  Positive("policy.moe.experts_per_token", moe.experts_per_token(), moe.experts());
  Positive("policy.moe.width", moe.width(), 1 << 20);
  USER_CHECK(moe.shared_width() >= 0 && moe.shared_width() <= 1 << 20,
             "[policy] policy.moe.shared_width must be from 0 to 1048576; change it in the config",
             Named("policy.moe.shared_width", moe.shared_width()));
  AboveZero("policy.moe.scale", moe.scale(), 1e6);
  Positive("policy.moe.groups", moe.groups(), moe.experts());
  USER_CHECK(moe.experts() % moe.groups() == 0,
             "[policy] policy.moe.groups must divide policy.moe.experts; change one of them",
             Named("policy.moe.groups", moe.groups()), Named("policy.moe.experts", moe.experts()));
  Positive("policy.moe.top_groups", moe.top_groups(), moe.groups());
  const int64_t per_group = moe.experts() / moe.groups();
  USER_CHECK(moe.experts_per_token() <= moe.top_groups() * per_group,
             "[policy] policy.moe.top_groups leaves fewer experts than "
             "policy.moe.experts_per_token; raise "
             "top_groups",
             Named("experts_left", moe.top_groups() * per_group),
             Named("policy.moe.experts_per_token", moe.experts_per_token()));
  USER_CHECK(moe.groups() == 1 || moe.group_score() != MoeConfig::TOP2_SUM || per_group >= 2,
             "[policy] policy.moe.group_score TOP2_SUM needs two experts per group; lower "
             "policy.moe.groups or take MAX",
             Named("experts_per_group", per_group));
}

}  // namespace

void CheckPolicyConfig(const PolicyConfig& c) {
  Positive("policy.vocab_size", c.vocab_size(), 1 << 24);
  Positive("policy.width", c.width(), 1 << 20);
  Positive("policy.layers", c.layers(), 1024);
  Positive("policy.max_positions", c.max_positions(), 1 << 22);
  Positive("policy.attention.heads", c.attention().heads(), 1024);
  Positive("policy.attention.kv_heads", c.attention().kv_heads(), 1024);
  Positive("policy.attention.head_dim", c.attention().head_dim(), 256);
  USER_CHECK(
      c.attention().heads() % c.attention().kv_heads() == 0,
      "[policy] policy.attention.kv_heads must divide policy.attention.heads; change one of them",
      Named("policy.attention.kv_heads", c.attention().kv_heads()),
      Named("policy.attention.heads", c.attention().heads()));
  USER_CHECK(c.attention().head_dim() % 2 == 0,
             "[policy] policy.attention.head_dim must be even; change it in the config",
             Named("policy.attention.head_dim", c.attention().head_dim()));
  AboveZero("policy.attention.rope_theta", c.attention().rope_theta(), 1e12);
  AboveZero("policy.rms_norm_eps", c.rms_norm_eps(), 1);
  USER_CHECK(
      c.dense_layers() >= 0 && c.dense_layers() <= c.layers(),
      "[policy] policy.dense_layers must be from 0 to policy.layers; change it in the config",
      Named("policy.dense_layers", c.dense_layers()), Named("policy.layers", c.layers()));
  USER_CHECK(c.moe().experts() >= 0,
             "[policy] policy.moe.experts must not be negative; set 0 for none",
             Named("policy.moe.experts", c.moe().experts()));
  if (MoeLayers(c) < c.layers()) Positive("policy.dense_width", c.dense_width(), 1 << 20);
  if (MoeLayers(c) > 0) CheckMoe(c.moe());
}

int64_t MoeLayers(const PolicyConfig& c) {
  return c.moe().experts() > 0 ? c.layers() - c.dense_layers() : 0;
}

int64_t ParameterCount(const PolicyConfig& c) {
  const int64_t d = c.width();
  int64_t n = (c.tied_head() ? 1 : 2) * c.vocab_size() * d + d;
  for (int64_t layer = 0; layer < c.layers(); ++layer) {
    n += 2 * d + d * QkvWidth(c) + QueryWidth(c) * d;
    n += IsMoeLayer(c, layer) ? d * c.moe().experts() + 3 * d * c.moe().shared_width() +
                                    3 * d * c.moe().width() * c.moe().experts()
                              : 3 * d * c.dense_width();
  }
  return n;
}

int64_t ActiveParameterCount(const PolicyConfig& c) {
  const int64_t idle = c.moe().experts() - c.moe().experts_per_token();
  const int64_t skipped = MoeLayers(c) * idle * 3 * c.width() * c.moe().width();
  const int64_t embedding = c.tied_head() ? 0 : c.vocab_size() * c.width();
  return ParameterCount(c) - embedding - skipped;
}

}  // namespace grouper
