#include <sys/sysinfo.h>

#include <cstdio>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/process.h"
#include "kernels/numerics.h"
#include "rl/algorithm/advantage.h"
#include "rl/algorithm/verdict.h"
#include "rl/command/quickstart_config.h"
#include "rl/command/run_options.h"
#include "rl/evaluation/evaluator.h"
#include "rl/experience/task_check.h"
#include "rl/learner/learner.h"
#include "rl/run/session.h"

namespace grouper {
namespace {

struct Finding {
  std::string name;
  bool ok = false;
  std::string detail;
};

// Samples a few groups from a random policy and compares the bits of every log-probability and
// every expert.
Finding CheckZeroMismatch(int threads) {
  Config config = QuickstartConfig(QuickstartStage::kRl, 7, true);
  Session session(&config, {.threads = threads});
  std::vector<Prompt> prompts(3);
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].set_ordinal(i);
    prompts[i].add_ids(static_cast<uint32_t>(session.tokenizer().bos()));
    for (uint32_t t = 0; t < 5 + 40 * i; ++t) prompts[i].add_ids(20 + t % 60);
  }
  GenerateOptions options;
  options.group_size = 4;
  options.max_new_tokens = 24;
  std::vector<Group> groups;
  session.engine().Generate(prompts, options, &groups);
  for (Group& group : groups) {
    for (int i = 0; i < group.completions_size(); ++i) {
      reward::v1::ScoreResult* score = group.add_scores();
      score->set_status(reward::v1::ScoreResult::SCORED);
      score->set_reward(i % 2);
    }
    AssignAdvantages(config.advantage(), &group);
  }
  Learner learner(&session.policy(), config, session.stream());
  try {
    const UpdateResult update = learner.Update(groups, 1e-4);
    return {"zero mismatch", true,
            std::to_string(update.check.tokens) + " tokens compared, 0 differ"};
  } catch (const Error& error) {
    return {"zero mismatch", false, error.message()};
  }
}

Finding CheckRewardService() {
  try {
    Config config = QuickstartConfig(QuickstartStage::kRl, 7, true);
    RewardStage reward(config.reward(), "doctor");
    const ProgramJudging programs = AskProgramJudging(config.reward(), reward.addresses());
    std::vector<Group> groups(2);
    for (size_t i = 0; i < groups.size(); ++i) {
      Prompt* prompt = groups[i].mutable_prompt();
      prompt->set_rubric(i == 0 ? "calc" : "fit");
      Completion* completion = groups[i].add_completions();
      completion->set_rollout_id(i);
      if (i == 0) {
        prompt->mutable_math()->add_golds("4");
        completion->set_text("<think>2+2=4</think><answer>4</answer>");
      } else {
        auto* problem = prompt->mutable_code()->mutable_problem();
        prompt->mutable_code()->set_language("python");
        problem->set_wrap("def f(x):\n    return {answer}");
        problem->set_entry("f");
        auto* test = problem->add_cases();
        test->set_arguments_json("[3]");
        test->set_expected_json("7");
        completion->set_text("<think>2</think><answer>x*2+1</answer>");
      }
    }
    reward.Score(&groups);
    const bool math = IsRight(groups[0].scores(0)), code = IsRight(groups[1].scores(0));
    return {"reward service", math && code,
            std::string("math ") + (math ? "judged" : groups[0].scores(0).reason()) +
                ", programs " + (code ? "judged" : "not judged") + ", isolation tier " +
                programs.TierName() + (programs.problem.empty() ? "" : ": " + programs.problem)};
  } catch (const Error& error) {
    return {"reward service", false, error.message()};
  }
}

}  // namespace

int RunDoctor(const DoctorOptions& options) {
  const int threads = options.threads > 0 ? options.threads : cpu::ChooseThreads();
  std::string isas;
  for (cpu::Isa isa : cpu::AvailableIsas())
    isas += std::string(isas.empty() ? "" : " ") + cpu::NameOf(isa);
  struct sysinfo info {};
  sysinfo(&info);
  const double free_gib =
      static_cast<double>(info.freeram + info.bufferram) * info.mem_unit / 0x1p30;
  char memory[64];
  std::snprintf(memory, sizeof(memory), "%.1f GiB free", free_gib);
  std::vector<Finding> findings;
  findings.push_back(
      {"instruction sets", true, isas + ", in use " + cpu::NameOf(cpu::ChooseIsa())});
  findings.push_back({"threads", true, std::to_string(threads)});
  findings.push_back({"memory", free_gib > 0.5, memory});
  findings.push_back({"numeric profile", true, numerics::kCpuProfile});
  findings.push_back({"CUDA", true, "not built in (GROUPER_CUDA=OFF)"});
  findings.push_back(CheckZeroMismatch(options.threads));
  findings.push_back(CheckRewardService());
  bool ok = true;
  JsonWriter w;
  w.BeginObject();
  for (const Finding& finding : findings) {
    ok = ok && finding.ok;
    char line[64];
    std::snprintf(line, sizeof(line), "%-4s %-18s ", finding.ok ? "ok" : "BAD",
                  finding.name.c_str());
    Say(options.json, line + finding.detail);
    w.Key(finding.name).BeginObject().Key("ok").Value(finding.ok);
    w.Key("detail").Value(finding.detail).EndObject();
  }
  w.EndObject();
  if (options.json) std::printf("%s\n", w.text().c_str());
  return ok ? 0 : 1;
}

}  // namespace grouper
