#include "tests/e2e/tiny_run.h"

#include <fstream>

#include "base/io/file.h"
#include "tests/e2e/program.h"

namespace grouper::testing {
namespace {

std::string Pair(const char* name, int value) {
  return std::string(name) + ": " + std::to_string(value) + " ";
}

// The overlong component gives completions of different lengths different rewards, so that there is
// something to learn from.
std::string Scoring(const char* name, const char* extraction) {
  return std::string("  rubric { name: \"") + name + "\" extraction: " + extraction +
         " component { name: \"accuracy\" } component { name: \"overlong\" weight: 0.5 "
         "max_tokens: 8 ramp_tokens: 8 } }\n";
}

}  // namespace

std::string TinyRun::Write(const std::string& folder) const {
  const std::string config = JoinPath(folder, "tiny.textproto");
  std::ofstream out(config);
  out << Pair("steps", steps) << Pair("prompts_per_step", prompts_per_step)
      << "group_size: 4 eval_every: 0 " << Pair("checkpoint_every", checkpoint_every) << "\n";
  out << "policy { " << Pair("width", width) << Pair("layers", layers)
      << "attention { heads: 2 kv_heads: 1 " << Pair("head_dim", head_dim) << "}\n  moe { "
      << Pair("experts", experts) << Pair("experts_per_token", experts_per_token)
      << "width: 8 shared_width: 8 } max_positions: 64 }\n";
  out << "data { train: \"" << (rows ? "rows.jsonl" : "tasks:calc,fit") << "\" eval: \"" << eval
      << "\"" << (rows ? " tokenizer: \"bytes\"" : "") << " }\n";
  out << "sampling { max_new_tokens: 8 }\noptimizer { lr: 1e-2 }\n"
      << "reward {\n"
      << Scoring("calc", "WHOLE");
  if (!rows) out << Scoring("fit", "ANSWER_TAG");
  // The tests that look at a run from outside need no judged programs, so none is skipped on a
  // machine that cannot isolate them.
  out << "  allow_unjudged: true\n}\n" << settings << "\n";
  if (rows) {
    std::ofstream(JoinPath(folder, "rows.jsonl"))
        << "{\"question\":\"1+1=\",\"answer\":\"2\"}\n{\"question\":\"2+3=\",\"answer\":\"5\"}\n";
  }
  return config;
}

std::vector<std::string> TrainArguments(const std::string& config, const std::string& run,
                                        const std::vector<std::string>& settings) {
  std::vector<std::string> arguments = {"train", "--config",  config, "--run",
                                        run,     "--threads", "1"};
  for (const std::string& s : settings) arguments.insert(arguments.end(), {"--set", s});
  return arguments;
}

std::string ResultOf(const std::string& run) {
  return ReadFile(JoinPath(run, "result.json"), "result") +
         RunProgram("grouper-trace", {"digest", run}).out;
}

}  // namespace grouper::testing
