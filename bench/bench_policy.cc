// bench_policy: training and decode speed of a whole policy at three sizes, and the quickstart's
// GRPO step. With --json, one JSON object per policy on stdout; a table for people on stderr.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/json.h"
#include "bench/grpo_step.h"
#include "bench/long_sequences.h"
#include "bench/policy_speed.h"
#include "kernels/cpu/parallel.h"

namespace grouper::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench_policy [--threads N] [--model 0.4M|10M|100M] [--rounds N]\n"
    "                    [--micro-batch TOKENS] [--json]\n"
    "       bench_policy --prompt-step|--tail [--threads N] [--model NAME] [--rounds N]\n"
    "       bench_policy --grpo-step [--threads N] [--steps N] [--run DIR]\n"
    "                    [--set a.b=c]... [--json]\n"
    "Measures training (forward, backward, AdamW) and decode of 64 sequences and of one, in "
    "tokens\n"
    "per second; or the seconds of the quickstart's GRPO step and of its parts; or of a step with\n"
    "long prompts, with the prompts of a group computed once and with every completion alone; or\n"
    "of a decoded token, and of an update, when one long sequence remains.\n"
    "GROUPER_CPU=avx512|avx2|scalar chooses the instruction set.\n"
    "Example: taskset -c 0 bench_policy --threads 1 --model 10M --json\n";

struct Options {
  int threads = 1;
  std::string model, run;
  std::vector<std::string> set;  // settings of the GRPO step's run
  int64_t micro_batch = 0;       // tokens; 0: the whole batch
  int rounds = 3, steps = 8;
  bool grpo_step = false, prompt_step = false, tail = false, json = false;
};

int NumberOf(const std::string& flag, const char* text) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  USER_CHECK(end != text && *end == '\0' && value >= 1 && value <= 100000,
             "[bench_policy] " + flag + " needs a number from 1 to 100000", Named("value", text));
  return static_cast<int>(value);
}

Options Parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--help" || flag == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (flag == "--json" || flag == "--grpo-step" || flag == "--prompt-step" || flag == "--tail") {
      (flag == "--json"        ? o.json
       : flag == "--grpo-step" ? o.grpo_step
       : flag == "--tail"      ? o.tail
                               : o.prompt_step) = true;
      continue;
    }
    USER_CHECK(i + 1 < argc,
               "[bench_policy] the flag is unknown or its value is missing; see --help",
               Named("flag", flag));
    const char* value = argv[++i];
    if (flag == "--threads") {
      o.threads = NumberOf(flag, value);
    } else if (flag == "--rounds") {
      o.rounds = NumberOf(flag, value);
    } else if (flag == "--steps") {
      o.steps = NumberOf(flag, value);
    } else if (flag == "--micro-batch") {
      o.micro_batch = NumberOf(flag, value);
    } else if (flag == "--set") {
      o.set.push_back(value);
    } else if (flag == "--model") {
      o.model = value;
    } else if (flag == "--run") {
      o.run = value;
    } else {
      ThrowUser("[bench_policy] the flag is unknown; see --help", Named("flag", flag));
    }
  }
  return o;
}

void PrintPolicy(const Options& options, const char* isa, const PolicyCase& policy,
                 const PolicySpeed& s) {
  std::fprintf(stderr,
               "%-5s %s, %d thread(s) | train %.0f tok/s, %.0f%% of peak, products alone %.0f%% | "
               "decode 64: %.0f tok/s | decode 1: %.0f tok/s | peak %.1f GFLOP/s\n",
               policy.name.c_str(), isa, options.threads, s.train_tok_s,
               100 * s.train_share_of_peak, 100 * s.gemm_share_of_peak, s.decode64_tok_s,
               s.decode1_tok_s, s.peak_gflops);
  double all = 0;
  for (const auto& part : s.train_split) all += part.seconds;
  for (const auto& part : s.train_split) {
    if (part.seconds < 0.005 * all) continue;
    std::fprintf(stderr, "      %-26s %5.1f%% %10.6f s per update\n", part.name.c_str(),
                 100 * part.seconds / all, part.seconds);
  }
  if (!options.json) return;
  JsonWriter w;
  w.BeginObject().Key("model").Value(policy.name).Key("parameters").Value(policy.parameters);
  w.Key("threads").Value(int64_t{options.threads}).Key("isa").Value(std::string(isa));
  w.Key("train_tok_s").Value(s.train_tok_s).Key("decode64_tok_s").Value(s.decode64_tok_s);
  w.Key("decode1_tok_s").Value(s.decode1_tok_s);
  w.Key("peak_gflops").Value(s.peak_gflops);
  w.Key("gemm_share_of_peak").Value(s.gemm_share_of_peak);
  w.Key("train_share_of_peak").Value(s.train_share_of_peak);
  w.Key("train_split_seconds").BeginObject();
  for (const auto& part : s.train_split) w.Key(part.name).Value(part.seconds);
  w.EndObject().EndObject();
  std::printf("%s\n", w.text().c_str());
  std::fflush(stdout);
}

int RunStep(const Options& options) {
  std::string run = options.run;
  if (run.empty()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "bench_policy_XXXXXX").string();
    USER_CHECK(mkdtemp(pattern.data()) != nullptr,
               "[bench_policy] cannot make a temporary folder; name a folder with --run",
               Named("pattern", pattern));
    run = pattern;
  }
  const GrpoStep s = MeasureGrpoStep(run, options.threads, options.steps, options.set);
  if (options.run.empty()) std::filesystem::remove_all(run);
  std::fprintf(stderr,
               "GRPO step, %d thread(s), median of %d: %.4f s (least %.4f) = generate %.4f + score "
               "%.4f + train %.4f + other %.4f | %.1f new tokens per completion\n",
               options.threads, options.steps, s.step, s.least, s.generate, s.score, s.train,
               s.other, s.mean_new_tokens);
  if (!options.json) return 0;
  JsonWriter w;
  w.BeginObject().Key("model").Value(std::string("0.4M")).Key("prompts").Value(int64_t{16});
  w.Key("samples").Value(int64_t{16}).Key("max_new_tokens").Value(int64_t{64});
  w.Key("threads").Value(int64_t{options.threads}).Key("steps").Value(int64_t{options.steps});
  w.Key("mean_new_tokens").Value(s.mean_new_tokens);
  w.Key("grpo_step_s").Value(s.step).Key("grpo_step_least_s").Value(s.least);
  w.Key("generate_s").Value(s.generate).Key("score_s").Value(s.score);
  w.Key("train_s").Value(s.train).Key("other_s").Value(s.other).EndObject();
  std::printf("%s\n", w.text().c_str());
  return 0;
}

void PrintPromptStep(const Options& options, const PolicyCase& policy, Stream& stream) {
  const PromptStep s = MeasurePromptStep(policy, options.rounds, stream);
  const double before = s.generate + s.train_whole, after = s.generate + s.train_shared;
  std::fprintf(
      stderr,
      "%-5s step with prompts of 512, %d thread(s), median of %d: %.3f s = generate %.3f + "
      "train %.3f of %lld tokens | every completion alone: %.3f s, train %.3f of %lld "
      "tokens | step %.2f times as fast, training %.2f | %.1f new tokens\n",
      policy.name.c_str(), options.threads, options.rounds, after, s.generate, s.train_shared,
      static_cast<long long>(s.shared_tokens), before, s.train_whole,
      static_cast<long long>(s.whole_tokens), before / after, s.train_whole / s.train_shared,
      s.mean_new_tokens);
}

int Run(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  if (options.grpo_step) return RunStep(options);
  std::unique_ptr<cpu::ThreadPool> pool;
  if (options.threads > 1) pool = std::make_unique<cpu::ThreadPool>(options.threads);
  Stream stream{cpu::ChooseIsa(), pool.get()};
  bool found = false;
  for (const PolicyCase& policy : PolicyCases()) {
    if (!options.model.empty() && options.model != policy.name) continue;
    found = true;
    if (options.tail) {
      const TailStep s = MeasureTail(policy, options.rounds, stream);
      std::fprintf(stderr,
                   "%-5s one sequence, %d thread(s): %.3f ms per token decoded at 8 k | its "
                   "attention, a layer: %.1f us on one thread, %.1f us shared, %.2f times as fast "
                   "| %.3f s per update at 4 k\n",
                   policy.name.c_str(), options.threads, 1e3 * s.token,
                   1e6 * s.attention_one_thread, 1e6 * s.attention_shared,
                   s.attention_one_thread / s.attention_shared, s.update);
      continue;
    }
    if (options.prompt_step) {
      PrintPromptStep(options, policy, stream);
      continue;
    }
    PrintPolicy(options, cpu::NameOf(stream.isa), policy,
                MeasurePolicy(policy, options.rounds, options.micro_batch, stream));
  }
  USER_CHECK(found, "[bench_policy] --model must be 0.4M, 10M or 100M",
             Named("model", options.model));
  return 0;
}

}  // namespace
}  // namespace grouper::bench

int main(int argc, char** argv) {
  try {
    return grouper::bench::Run(argc, argv);
  } catch (const grouper::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.kind() == grouper::ErrorKind::kUser ? 2 : 1;
  }
}
