// How reward services share the programs of a step: the same batch is judged by one service and by
// two, each with one worker. Half of the programs loop until their CPU limit, or, with --sleep,
// until their wall limit, which needs no second core.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "reward/code/code_grader.h"
#include "reward/scorer.h"
#include "reward/service/client.h"
#include "reward/service/service.h"

namespace grouper {
namespace {

using reward::v1::ScoreItem;
using reward::v1::ScoreResult;

constexpr int kPrompts = 16, kSamples = 8;

// A grader that counts what it judged.
class Counted final : public Grader {
 public:
  explicit Counted(const Jail* jail) : code_(jail) {}
  Judgement Grade(const ScoreItem& item, const Rubric& rubric,
                  const GradeBudget& budget) const override {
    ++count_;
    return code_.Grade(item, rubric, budget);
  }
  int count() const { return count_; }

 private:
  CodeGrader code_;
  mutable std::atomic<int> count_{0};
};

std::vector<ScoreItem> Programs(bool sleep) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < kPrompts * kSamples; ++i) {
    ScoreItem item;
    item.set_item_id(std::to_string(i));
    item.set_group_id(std::to_string(i / kSamples));
    item.set_rubric("code");
    const std::string loop = sleep ? "import time\ndef f(x): time.sleep(9)" : "while True: pass";
    item.set_completion((i % 2 == 0 ? loop : "def f(x): return x") + " # " + std::to_string(i));
    reward::v1::CodeProblem* problem = item.mutable_code()->mutable_problem();
    problem->set_entry("f");
    for (int test = 0; test < 10; ++test) {
      reward::v1::CodeCase* one = problem->add_cases();
      one->set_arguments_json("[" + std::to_string(i / kSamples + test) + "]");
      one->set_expected_json(std::to_string(i / kSamples + test));
    }
    items.push_back(std::move(item));
  }
  return items;
}

void Measure(const Jail& jail, int services, bool sleep) {
  std::vector<std::unique_ptr<Counted>> graders;
  std::vector<std::unique_ptr<Scorer>> scorers;
  std::vector<std::unique_ptr<RewardService>> running;
  std::vector<std::string> addresses;
  for (int s = 0; s < services; ++s) {
    graders.push_back(std::make_unique<Counted>(&jail));
    scorers.push_back(std::make_unique<Scorer>(nullptr, graders.back().get()));
    RewardServiceOptions options;
    options.code_workers = 1;
    running.push_back(std::make_unique<RewardService>(scorers.back().get(), options));
    addresses.push_back(running.back()->address());
  }
  Rubric rubric;
  rubric.set_name("code");
  rubric.set_extraction(Rubric::WHOLE);
  rubric.add_component()->set_name("accuracy");
  rubric.mutable_code()->set_cpu_seconds(1);
  rubric.mutable_code()->set_wall_seconds(1);
  RewardClient client(addresses, {});
  const std::vector<Rubric> rubrics = {rubric};
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<ScoreResult> results = client.Score(rubrics, Programs(sleep));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const auto count = [&](ScoreResult::Verdict verdict) {
    return std::count_if(results.begin(), results.end(),
                         [&](const ScoreResult& r) { return r.verdict() == verdict; });
  };
  std::printf("services=%d seconds=%.1f AC=%td TLE=%td of %zu; judged by each:", services,
              seconds.count(), count(ScoreResult::AC), count(ScoreResult::TLE), results.size());
  for (const std::unique_ptr<Counted>& grader : graders) {
    std::printf(" %d (%.0f %%)", grader->count(),
                100.0 * grader->count() / static_cast<double>(results.size()));
  }
  std::printf("\n");
}

int Run(int argc, char** argv) {
  const bool sleep = argc == 2 && std::strcmp(argv[1], "--sleep") == 0;
  if (argc > 1 && !sleep) {
    std::printf("usage: bench_reward [--sleep]\nExample: build/cpu/bin/bench_reward --sleep\n");
    return std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  const Jail jail;
  USER_CHECK(jail.standing(), jail.problem());
  Measure(jail, 1, sleep);
  Measure(jail, 2, sleep);
  return 0;
}

}  // namespace
}  // namespace grouper

int main(int argc, char** argv) {
  try {
    return grouper::Run(argc, argv);
  } catch (const grouper::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    return grouper::ExitCode(error.kind());
  }
}
