#include "policy/policy_config.h"

#include "base/error.h"
#include "kernels/moe/router_topk.h"
#include "proto/check/range_check.h"
#include "proto/expert_ids.h"

namespace grouper {
namespace {

// Sizes are 64-bit numbers of bytes, and this many parameters leave room for all products of them.
constexpr int64_t kMostParameters = int64_t{1} << 42;

// 0 is in the range of some widths, for policies that do not have the part.
void NotZero(const char* field, int64_t value) {
  USER_CHECK(value > 0, std::string("[policy] ") + field + " must not be 0 here; set it");
}

// A trace must be able to hold every expert id.
static_assert(kMaxExperts <= kMostStorableExperts);

void CheckMoe(const MoeConfig& moe) {
  USER_CHECK(moe.experts_per_token() <= moe.experts(),
             "[policy] policy.moe.experts_per_token must not be above policy.moe.experts; lower it",
             Named("policy.moe.experts_per_token", moe.experts_per_token()),
             Named("policy.moe.experts", moe.experts()));
  NotZero("policy.moe.width", moe.width());
  USER_CHECK(moe.experts() % moe.groups() == 0,
             "[policy] policy.moe.groups must divide policy.moe.experts; change one of them",
             Named("policy.moe.groups", moe.groups()), Named("policy.moe.experts", moe.experts()));
  USER_CHECK(moe.top_groups() <= moe.groups(),
             "[policy] policy.moe.top_groups must not be above policy.moe.groups; lower it",
             Named("policy.moe.top_groups", moe.top_groups()),
             Named("policy.moe.groups", moe.groups()));
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
  CheckRanges(c, "policy.");
  NotZero("policy.vocab_size", c.vocab_size());
  USER_CHECK(
      c.attention().heads() % c.attention().kv_heads() == 0,
      "[policy] policy.attention.kv_heads must divide policy.attention.heads; change one of them",
      Named("policy.attention.kv_heads", c.attention().kv_heads()),
      Named("policy.attention.heads", c.attention().heads()));
  USER_CHECK(c.attention().head_dim() % 2 == 0,
             "[policy] policy.attention.head_dim must be even; change it in the config",
             Named("policy.attention.head_dim", c.attention().head_dim()));
  USER_CHECK(
      c.dense_layers() <= c.layers(),
      "[policy] policy.dense_layers must not be above policy.layers; change it in the config",
      Named("policy.dense_layers", c.dense_layers()), Named("policy.layers", c.layers()));
  if (MoeLayers(c) < c.layers()) NotZero("policy.dense_width", c.dense_width());
  if (MoeLayers(c) > 0) CheckMoe(c.moe());
  USER_CHECK(ParameterCount(c) <= kMostParameters,
             "[policy] the policy has more parameters than any machine can hold; lower its widths, "
             "layers or experts",
             Named("parameters", ParameterCount(c)), Named("limit", kMostParameters));
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
