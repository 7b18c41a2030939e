#include <algorithm>
#include <limits>

#include "base/digest.h"
#include "kernels/sampling/sample_token.h"
#include "kernels/sampling/token_log_probs.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using testing::BestStream;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Drawn {
  Owned tokens, log_probs, raw, entropies, kept_sizes;
};

// Row r is rollout r + first, position 7.
Drawn Draw(Stream stream, const Owned& logits, const SamplingRule& rule, uint64_t first = 0,
           uint64_t seed = 5) {
  const int64_t rows = logits.view.shape[0];
  Drawn d{Owned(DType::kInt32, {rows}), Owned(logits.view.dtype, {rows}),
          Owned(logits.view.dtype, {rows}), Owned(logits.view.dtype, {rows}),
          Owned(DType::kInt32, {rows})};
  Owned ids(DType::kUint64, {rows}), positions(DType::kInt32, {rows});
  for (int64_t r = 0; r < rows; ++r) {
    ids.Put(r, static_cast<double>(first + static_cast<uint64_t>(r)));
    positions.Put(r, 7);
  }
  SampleToken(stream, {.logits = logits,
                       .rollout_ids = ids,
                       .positions = positions,
                       .seed = seed,
                       .stream_id = 0,
                       .rule = rule,
                       .tokens = d.tokens,
                       .log_probs = d.log_probs,
                       .raw_log_probs = d.raw,
                       .entropies = d.entropies,
                       .kept_sizes = d.kept_sizes});
  return d;
}

struct Scored {
  Owned log_probs, entropies, kept_sizes;
};
Scored Score(Stream stream, const Owned& logits, const Owned& targets, const SamplingRule& rule) {
  Scored s{Owned(logits.view.dtype, {logits.view.shape[0]}),
           Owned(logits.view.dtype, {logits.view.shape[0]}),
           Owned(DType::kInt32, {logits.view.shape[0]})};
  TokenLogProbs(stream, {.logits = logits,
                         .targets = targets,
                         .rule = rule,
                         .log_probs = s.log_probs,
                         .entropies = s.entropies,
                         .kept_sizes = s.kept_sizes});
  return s;
}

const std::vector<SamplingRule>& Rules() {
  static const std::vector<SamplingRule> rules = {
      {},
      {.temperature = 0.6},
      {.temperature = 2},
      {.top_k = 5},
      {.top_p = 0.8},
      {.min_p = 0.1},
      {.temperature = 1.5, .top_k = 40, .top_p = 0.95, .min_p = 0.01}};
  return rules;
}

TEST(Sampling, SamplerAndLearnerReportEqualBitsOnEveryInstructionSet) {
  for (int64_t vocab : {1, 2, 15, 16, 17, 123, 255, 256, 257, 511, 700, 2000}) {
    const Owned logits = Normal(DType::kFloat32, {24, vocab}, static_cast<uint64_t>(vocab), 3);
    for (const SamplingRule& rule : Rules()) {
      const Drawn reference = Draw(BestStream(), logits, rule);
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        cpu::ThreadPool pool(2);
        const Drawn d = Draw({isa, &pool}, logits, rule);
        EXPECT_TRUE(SameBits(d.tokens, reference.tokens)) << vocab << " " << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(d.log_probs, reference.log_probs)) << vocab << " " << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(d.entropies, reference.entropies)) << vocab << " " << cpu::NameOf(isa);
        const Scored s = Score({isa, &pool}, logits, d.tokens, rule);
        EXPECT_TRUE(SameBits(s.log_probs, d.log_probs)) << vocab << " " << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(s.entropies, d.entropies)) << vocab << " " << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(s.kept_sizes, d.kept_sizes)) << vocab << " " << cpu::NameOf(isa);
      }
      EXPECT_TRUE(rule.filtered() || SameBits(reference.raw, reference.log_probs));
    }
  }
}

TEST(Sampling, ARowDoesNotSeeTheOthers) {
  const Owned logits = Normal(DType::kFloat32, {60, 123}, 1, 2);
  const Drawn all = Draw(BestStream(), logits, {});
  for (int64_t r : {0, 7, 8, 59}) {
    Owned row(DType::kFloat32, {1, 123});
    std::memcpy(row.view.data, logits.view.Rows(r, 1).data, row.bytes());
    const Drawn alone = Draw(BestStream(), row, {}, static_cast<uint64_t>(r));
    EXPECT_EQ(alone.tokens.Get(0), all.tokens.Get(r));
    EXPECT_EQ(alone.log_probs.Get(0), all.log_probs.Get(r));
  }
}

TEST(Sampling, LogProbsAndEntropiesMatchTheFormula) {
  const Owned logits = Normal(DType::kFloat32, {20, 300}, 2, 4);
  for (double temperature : {0.5, 1.0, 1.7}) {
    const Drawn d = Draw(BestStream(), logits, {.temperature = temperature});
    for (int64_t r = 0; r < 20; ++r) {
      double sum = 0, weighted = 0;
      for (int64_t v = 0; v < 300; ++v) sum += std::exp(logits.Get(r * 300 + v) / temperature);
      for (int64_t v = 0; v < 300; ++v) {
        const double z = logits.Get(r * 300 + v) / temperature;
        weighted += std::exp(z) / sum * z;
      }
      const double z = logits.Get(r * 300 + static_cast<int64_t>(d.tokens.Get(r))) / temperature;
      EXPECT_NEAR(d.log_probs.Get(r), z - std::log(sum), 2e-5);
      EXPECT_NEAR(d.entropies.Get(r), std::log(sum) - weighted, 2e-5);
    }
  }
}

// Draws again from the same Philox words with the inverse distribution function, in double and on
// two levels, tile and token.
TEST(Sampling, DrawsByTheStatedUniforms) {
  const int64_t vocab = 700, rows = 400;
  const Owned logits = Normal(DType::kFloat32, {rows, vocab}, 3, 2);
  const Drawn d = Draw(BestStream(), logits, {});
  int exact = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const PhiloxWords w = PhiloxAt(5, RandomStream::kTokenSampling, static_cast<uint64_t>(r), 7);
    const double u1 =
        std::ldexp(static_cast<double>(w[1]), -32) + std::ldexp(static_cast<double>(w[0]), -64);
    const double u2 =
        std::ldexp(static_cast<double>(w[3]), -32) + std::ldexp(static_cast<double>(w[2]), -64);
    std::vector<double> tiles((vocab + 255) / 256, 0.0);
    double total = 0;
    for (int64_t v = 0; v < vocab; ++v)
      tiles[static_cast<size_t>(v / 256)] += std::exp(logits.Get(r * vocab + v));
    for (double t : tiles) total += t;
    double target = u1 * total;
    size_t tile = 0;
    while (tile + 1 < tiles.size() && target >= tiles[tile]) target -= tiles[tile++];
    double rest = u2 * tiles[tile];
    int64_t token = static_cast<int64_t>(tile) * 256;
    while (token + 1 < vocab && rest >= std::exp(logits.Get(r * vocab + token)))
      rest -= std::exp(logits.Get(r * vocab + token++));
    exact += token == static_cast<int64_t>(d.tokens.Get(r)) ? 1 : 0;
    EXPECT_LE(std::abs(token - static_cast<int64_t>(d.tokens.Get(r))), 1) << r;
  }
  EXPECT_GE(exact, rows - 2) << "a neighbour only where the uniform lies within rounding";
}

TEST(Sampling, FrequenciesPassAChiSquareTest) {
  for (double scale : {0.5, 1.5, 3.0}) {
    const int64_t vocab = 60, rows = 20000;
    const Owned one = Normal(DType::kFloat32, {1, vocab}, 4, scale);
    Owned logits(DType::kFloat32, {rows, vocab});
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(logits.view.Rows(r, 1).data, one.view.data, one.bytes());
    const Drawn d = Draw(BestStream(), logits, {});
    std::vector<double> count(static_cast<size_t>(vocab), 0.0);
    for (int64_t r = 0; r < rows; ++r) ++count[static_cast<size_t>(d.tokens.Get(r))];
    double sum = 0, chi = 0, cells = 0, tail = 0, tail_count = 0;
    for (int64_t v = 0; v < vocab; ++v) sum += std::exp(one.Get(v));
    for (int64_t v = 0; v < vocab; ++v) {
      const double expected = static_cast<double>(rows) * std::exp(one.Get(v)) / sum;
      if (expected < 5) {
        tail += expected;
        tail_count += count[static_cast<size_t>(v)];
        continue;
      }
      chi += (count[static_cast<size_t>(v)] - expected) *
             (count[static_cast<size_t>(v)] - expected) / expected;
      ++cells;
    }
    if (tail >= 5) chi += (tail_count - tail) * (tail_count - tail) / tail, ++cells;
    // Wilson and Hilferty.
    const double k = cells - 1,
                 z = (std::cbrt(chi / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
    EXPECT_LT(std::fabs(z), 4) << scale;
  }
}

TEST(Sampling, KeptSetsEqualASortWithTiesToTheLowerId) {
  const int64_t vocab = 40;
  Owned logits = Normal(DType::kFloat32, {1, vocab}, 6, 2);
  for (int64_t v = 0; v < vocab; v += 3) logits.Put(v, 1.25);  // many ties
  logits.Put(4, -kInfinity);
  for (const SamplingRule& rule : Rules()) {
    if (!rule.filtered()) continue;
    const double inv = 1 / rule.temperature;
    std::vector<int64_t> order;
    for (int64_t v = 0; v < vocab; ++v) {
      if (logits.Get(v) > -kInfinity) order.push_back(v);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return logits.Get(a) > logits.Get(b); });
    const auto p = [&](int64_t v) {
      return std::exp((logits.Get(v) - logits.Get(order[0])) * inv);
    };
    if (rule.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(rule.top_k)));
    double total = 0, mass = 0;
    for (int64_t v : order) total += p(v);
    size_t keep = 0;
    while (keep < order.size() && mass < rule.top_p * total - 1e-9) mass += p(order[keep++]);
    if (rule.top_p < 1) order.resize(keep);
    std::erase_if(order, [&](int64_t v) { return p(v) < rule.min_p; });
    for (int64_t v = 0; v < vocab; ++v) {
      Owned target(DType::kInt32, {1});
      target.Put(0, static_cast<double>(v));
      const Scored scored = Score(BestStream(), logits, target, rule);
      const double log_prob = scored.log_probs.Get(0);
      EXPECT_EQ(scored.kept_sizes.Get(0), static_cast<double>(order.size()));
      const bool kept = std::find(order.begin(), order.end(), v) != order.end();
      EXPECT_EQ(std::isfinite(log_prob), kept)
          << v << " top_k " << rule.top_k << " top_p " << rule.top_p;
      if (!kept) continue;
      double sum = 0;
      for (int64_t o : order) sum += p(o);
      EXPECT_NEAR(log_prob, std::log(p(v) / sum), 1e-5);
    }
  }
}

// Rows of many kinds: near and far logits, thousands of ties, a flat row, -inf, a whole vocabulary
// within one rounding.
Owned ManyRows(DType dtype, int64_t vocab) {
  Owned logits(dtype, {8, vocab});
  for (int64_t v = 0; v < vocab; ++v) {
    for (int64_t r = 0; r < 8; ++r) {
      // Nearly normal, from sums of integers, so that no library's logarithm decides a bit.
      double sum = 0;
      for (const uint32_t word : PhiloxAt(11, RandomStream::kDataOrder, static_cast<uint64_t>(r),
                                          static_cast<uint32_t>(v))) {
        sum += std::ldexp(static_cast<double>(word >> 12), -20) - 0.5;
      }
      logits.Put(r * vocab + v, sum * 1.75);
    }
    logits.Put(vocab + v, 4 * logits.Get(vocab + v));
    logits.Put(2 * vocab + v, 40 * logits.Get(2 * vocab + v));
    logits.Put(3 * vocab + v, std::round(2 * logits.Get(3 * vocab + v)));
    logits.Put(4 * vocab + v, -3);
    if (v % 3 != 0) logits.Put(5 * vocab + v, -kInfinity);
    logits.Put(6 * vocab + v, 1e4 + std::round(logits.Get(6 * vocab + v)) / 1024);
    logits.Put(7 * vocab + v, 1e-30 * logits.Get(7 * vocab + v));
  }
  return logits;
}

std::vector<SamplingRule> FilterRules(int64_t vocab) {
  std::vector<SamplingRule> rules;
  for (double p : {1e-9, 0.3, 0.9, 0.95, 0.999, 1 - 1e-12}) {
    rules.push_back({.top_p = p});
    rules.push_back({.temperature = 1.7, .top_k = vocab / 3 + 1, .top_p = p});
  }
  for (int64_t k : {int64_t{1}, vocab / 2 + 1, vocab - 1}) {
    if (k > 0) rules.push_back({.top_k = k, .min_p = 1e-6});
  }
  rules.push_back({.min_p = 0.05});
  return rules;
}

TEST(Sampling, KeptSetsAreTheSameOnEveryInstructionSetAndAsTheyAlwaysWere) {
  uint64_t digest = 0;
  for (int64_t vocab : {1, 17, 300, 5000}) {
    const Owned logits = ManyRows(DType::kFloat32, vocab);
    for (const SamplingRule& rule : FilterRules(vocab)) {
      const Drawn reference = Draw(BestStream(), logits, rule);
      digest = WordSumDigest(reference.kept_sizes.view.data, reference.kept_sizes.bytes(), digest);
      digest = WordSumDigest(reference.log_probs.view.data, reference.log_probs.bytes(), digest);
      for (cpu::Isa isa : cpu::AvailableIsas()) {
        const Drawn d = Draw({isa, nullptr}, logits, rule);
        EXPECT_TRUE(SameBits(d.kept_sizes, reference.kept_sizes)) << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(d.log_probs, reference.log_probs)) << cpu::NameOf(isa);
        EXPECT_TRUE(SameBits(d.tokens, reference.tokens)) << cpu::NameOf(isa);
      }
    }
  }
  EXPECT_EQ(digest, 1476541914952959033u)
      << "computed by a bisection that summed the masses above every bit";
}

// Row r is row `from` of `all`, again and again.
Owned Copies(const Owned& all, int64_t from, int64_t rows) {
  const int64_t vocab = all.view.shape[1];
  Owned copies(all.view.dtype, {rows, vocab});
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(copies.view.Rows(r, 1).data, all.view.Rows(from, 1).data,
                static_cast<size_t>(vocab) * SizeOf(all.view.dtype));
  }
  return copies;
}

// In double, against a sort: the kept set is the shortest prefix whose mass reaches its share. Each
// integer mass may differ by one from that of the C library's exponential.
TEST(Sampling, TopPKeepsTheShortestPrefixThatHasTheMass) {
  const int64_t vocab = 300;
  const Owned all = ManyRows(DType::kFloat64, vocab);
  Owned targets(DType::kInt32, {vocab});
  for (int64_t v = 0; v < vocab; ++v) targets.Put(v, static_cast<double>(v));
  for (int64_t row = 0; row < 8; ++row) {
    const Owned logits = Copies(all, row, vocab);
    std::vector<int64_t> order;
    for (int64_t v = 0; v < vocab; ++v) {
      if (logits.Get(v) > -kInfinity) order.push_back(v);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return logits.Get(a) > logits.Get(b); });
    std::vector<double> sums = {0};
    for (const int64_t v : order) {
      const double p = std::exp(logits.Get(v) - logits.Get(order[0]));
      sums.push_back(sums.back() + std::floor(std::ldexp(p, 40) + 0.5));
    }
    for (const double p : {1e-9, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 1e-12}) {
      SCOPED_TRACE("row " + std::to_string(row) + ", top_p " + std::to_string(p));
      const Scored scored = Score(BestStream(), logits, targets, {.top_p = p});
      const auto kept = static_cast<size_t>(scored.kept_sizes.Get(0));
      ASSERT_GE(kept, 1u);
      const double goal = std::max(1.0, std::floor(p * sums.back())), slack = vocab;
      EXPECT_GE(sums[kept], goal - slack);
      EXPECT_LT(sums[kept - 1], goal + slack);
      for (size_t i = 0; i < order.size(); ++i) {
        EXPECT_EQ(std::isfinite(scored.log_probs.Get(order[i])), i < kept) << "place " << i;
      }
    }
  }
}

TEST(Sampling, EdgesOfADistribution) {
  Owned logits(DType::kFloat32, {6, 20});
  for (int64_t v = 0; v < 20; ++v) {
    logits.Put(v, v == 13 ? 0 : -kInfinity);         // one hot
    logits.Put(20 + v, 2.5);                         // all equal
    logits.Put(40 + v, v == 3 ? std::nan("") : 0);   // NaN
    logits.Put(60 + v, v == 3 ? kInfinity : 0);      // +inf
    logits.Put(80 + v, -kInfinity);                  // nothing
    logits.Put(100 + v, v == 19 || v == 2 ? 7 : 1);  // equal maxima
  }
  const Drawn d = Draw(BestStream(), logits, {});
  EXPECT_EQ(d.tokens.Get(0), 13);
  EXPECT_EQ(d.log_probs.Get(0), 0);
  EXPECT_NEAR(d.log_probs.Get(1), -std::log(20.0), 1e-6);
  EXPECT_NEAR(d.entropies.Get(1), std::log(20.0), 1e-6);
  for (int64_t r : {2, 3, 4}) EXPECT_EQ(d.tokens.Get(r), -1) << r;
  const Drawn greedy = Draw(BestStream(), logits, {.temperature = 0});
  EXPECT_EQ(greedy.tokens.Get(5), 2) << "equal maxima: the lowest id";
  EXPECT_EQ(greedy.log_probs.Get(5), 0);
  EXPECT_EQ(greedy.tokens.Get(1), 0);
}

TEST(TokenLogProbsBackward, MatchesFiniteDifferences) {
  Owned logits = Normal(DType::kFloat64, {3, 30}, 8, 1.5), targets(DType::kInt32, {3});
  const Owned up = Normal(DType::kFloat64, {3}, 9), entropy_up = Normal(DType::kFloat64, {3}, 10);
  const int chosen[3] = {4, 29, 0};
  for (int r = 0; r < 3; ++r) targets.Put(r, chosen[r]);
  for (double temperature : {1.0, 0.7}) {
    const SamplingRule rule{.temperature = temperature};
    Owned dlogits(DType::kFloat64, {3, 30});
    Stream stream = BestStream();
    TokenLogProbsBackward(stream, {.logits = logits,
                                   .targets = targets,
                                   .rule = rule,
                                   .dlog_probs = up,
                                   .dentropies = entropy_up,
                                   .dlogits = dlogits});
    EXPECT_TRUE(testing::GradientMatches(logits, dlogits, [&] {
      const Scored s = Score(stream, logits, targets, rule);
      double sum = 0;
      for (int64_t r = 0; r < 3; ++r)
        sum += up.Get(r) * s.log_probs.Get(r) + entropy_up.Get(r) * s.entropies.Get(r);
      return sum;
    }));
  }
}

}  // namespace
}  // namespace grouper
