// The policy losses against reference numbers in float64.
#include <algorithm>

#include "kernels/loss/policy_loss.h"
#include "tests/testing/golden.h"

namespace grouper {
namespace {

using testing::Flat;

TEST(Golden, PolicyLossesAndTheirGradients) {
  const Json golden = testing::ReadGolden("policy_loss.json");
  const std::vector<double> lengths = Flat(golden.At("lens", "g"));
  // Rows are padded to the longest; the first `length` numbers of each count.
  const auto packed = [&](const Json& rows) {
    std::vector<double> out;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const std::vector<double> row = Flat(rows.items[i]);
      out.insert(out.end(), row.begin(), row.begin() + static_cast<int64_t>(lengths[i]));
    }
    return out;
  };
  const auto floats = [](const std::vector<double>& x) {
    return std::vector<float>(x.begin(), x.end());
  };
  const std::vector<float> logp = floats(packed(golden.At("logp", "g"))),
                           old = floats(packed(golden.At("old", "g")));
  const std::vector<float> ref = floats(packed(golden.At("ref", "g")));
  std::vector<int64_t> offsets = {0};
  for (double n : lengths) offsets.push_back(offsets.back() + static_cast<int64_t>(n));
  int cases = 0;
  for (const Json& c : golden.At("cases", "g").items) {
    const std::string name = c.String("name", "g");
    const Json& config = c.At("config", "g");
    const auto text = [&](const char* key) {
      return config.Find(key) != nullptr ? config.Find(key)->text : std::string();
    };
    const auto number = [&](const char* key, double otherwise) {
      return config.Find(key) != nullptr ? config.Find(key)->number : otherwise;
    };
    PolicyLossRule rule;
    rule.clip_low = number("lo", 0);
    rule.clip_high = number("hi", 0);
    rule.dual_clip = number("dual", 0);
    rule.const_length = 8;
    if (text("ratio") == "gspo") rule.surrogate = Surrogate::kGspo;
    if (text("ratio") == "gspo_token") rule.surrogate = Surrogate::kGspoToken;
    if (text("clip") == "cispo") rule.surrogate = Surrogate::kCispo;
    if (text("clip") == "reinforce") rule.surrogate = Surrogate::kReinforce;
    if (text("clip") == "none") rule.clip_low = 1, rule.clip_high = 1e9;
    if (text("norm") == "seq") rule.aggregation = Aggregation::kSeq;
    if (text("norm") == "const") rule.aggregation = Aggregation::kConst;
    rule.kl.kind = text("kl") == "k1"   ? KlKind::kK1
                   : text("kl") == "k2" ? KlKind::kK2
                   : text("kl") == "k3" ? KlKind::kK3
                                        : KlKind::kNone;
    rule.kl_beta = number("beta", 0);
    const std::vector<double> advantages = Flat(golden.At("advantages", "g").At(text("adv"), "g"));
    std::vector<double> gradient(logp.size());
    PolicyLossArgs args;
    args.offsets = offsets;
    args.log_probs = logp;
    args.old_log_probs = old;
    args.ref_log_probs = ref;
    args.advantages = advantages;
    args.denominators = {static_cast<int64_t>(lengths.size()), offsets.back()};
    args.rule = rule;
    args.dlog_probs = gradient;
    const PolicyLossResult result = PolicyLoss(args);
    EXPECT_NEAR(result.loss, c.Number("loss", "g"), 1e-5 * std::max(1.0, std::fabs(result.loss)))
        << name;
    const std::vector<double> expected = packed(c.At("grad_logp", "g"));
    for (size_t t = 0; t < expected.size(); ++t)
      EXPECT_NEAR(gradient[t], expected[t], 1e-5) << name << " " << t;
    EXPECT_EQ(std::count(gradient.begin(), gradient.end(), 0.0), c.Number("zero_grad_tokens", "g"))
        << name;
    ++cases;
  }
  EXPECT_EQ(cases, 13);
}

}  // namespace
}  // namespace grouper
