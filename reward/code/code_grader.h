// Judges Python answers by running them in the jail, with one process per submission. A right
// answer returns the expected JSON value for every case. The values are compared here, outside the
// jail.
#pragma once

#include <string>

#include "reward/code/result_cache.h"
#include "reward/grader.h"
#include "reward/jail/jail.h"

namespace grouper {

class CodeGrader final : public Grader {
 public:
  static constexpr size_t kCacheBytes = size_t{64} << 20;
  // The jail outlives the grader. caps: see Capped; cache_bytes: the most that results kept for
  // equal programs take.
  explicit CodeGrader(const Jail* jail, const reward::v1::CodeCaps& caps = {},
                      size_t cache_bytes = kCacheBytes)
      : jail_(jail), caps_(caps), cache_(cache_bytes) {}
  Judgement Grade(const reward::v1::ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override;

 private:
  struct Cases;
  static Cases ReadCases(const reward::v1::CodeProblem& problem, int64_t output_bytes);
  Judgement Run(const std::string& program, const std::string& entry, Cases cases,
                const CodeRules& rules, const GradeBudget& budget) const;
  const Jail* jail_;
  reward::v1::CodeCaps caps_;
  mutable ResultCache cache_;
};

}  // namespace grouper
