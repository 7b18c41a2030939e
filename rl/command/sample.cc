#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/clock.h"
#include "base/error.h"
#include "base/io/json.h"
#include "policy/checkpoint/checkpoint.h"
#include "rl/command/run_options.h"
#include "rl/data/prompt_template.h"
#include "rl/rejection_sampling/sample_job.h"
#include "rl/rejection_sampling/streamed_text.h"
#include "rl/run/session.h"

namespace grouper {
namespace {

constexpr size_t kMostPromptBytes = size_t{1} << 20;

// All of standard input, without the line feed at its end that a shell adds.
std::string ReadPrompt() {
  if (isatty(STDIN_FILENO) != 0) {
    std::fprintf(stderr, "The prompt is read from standard input; end it with Ctrl-D.\n");
  }
  std::string text;
  for (char c; text.size() <= kMostPromptBytes && std::cin.get(c);) text.push_back(c);
  USER_CHECK(text.size() <= kMostPromptBytes,
             "[sample] the prompt on standard input is longer than 1 MiB; give a shorter one");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  USER_CHECK(!text.empty(), "[sample] the prompt is empty; give it with --prompt TEXT");
  return text;
}

std::string FinishName(const Completion& completion) {
  return Completion::FinishReason_Name(completion.finish_reason());
}

Prompt PromptOf(const Config& config, const std::string& question, const Tokenizer& tokenizer) {
  Prompt prompt;
  prompt.set_task_id("--prompt");
  const PromptTemplate pattern(config.data());
  const TemplatedPrompt filled = pattern.Fill(question, tokenizer);
  prompt.set_text(filled.text);
  prompt.set_prefill(pattern.prefill());
  prompt.mutable_ids()->Add(filled.ids.begin(), filled.ids.end());
  return prompt;
}

void PrintJson(const Config& config, const Manifest& manifest, const Prompt& prompt,
               const Completion& completion) {
  JsonWriter w;
  w.BeginObject().Key("prompt").Value(prompt.text()).Key("text").Value(completion.text());
  w.Key("ids").BeginArray();
  for (const uint32_t id : completion.ids()) w.Value(static_cast<int64_t>(id));
  w.EndArray().Key("finish_reason").Value(FinishName(completion));
  double log_prob = 0;
  for (const float value : completion.rollout_log_probs()) log_prob += static_cast<double>(value);
  w.Key("log_prob").Value(log_prob);
  w.Key("seed").Value(config.seed());
  w.Key("checkpoint").Value(config.init_from());
  w.Key("weights_sha256").Value(manifest.weights_sha256()).EndObject();
  std::printf("%s\n", w.text().c_str());
}

int SampleOnePrompt(const SampleOptions& options, Config config, std::stop_token stop) {
  const std::string question = options.prompt.empty() ? ReadPrompt() : options.prompt;
  const Manifest manifest = ReadCheckpointManifest(config.init_from());
  Session session(&config, {.threads = options.run.threads});
  const Prompt prompt = PromptOf(config, question, session.tokenizer());
  GenerateOptions generate = MakeGenerateOptions(config, manifest.policy_version(), &session);
  StreamedText shown;
  size_t bytes = 0;
  if (!options.run.json) {
    generate.on_token = [&](const Completion& completion) {
      const std::string text = shown.Add(std::string_view(completion.text()).substr(bytes));
      bytes = completion.text().size();
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
  }
  const Stopwatch watch;
  std::vector<Group> groups;
  const bool whole = session.engine().Generate({&prompt, 1}, generate, &groups, stop);
  const double seconds = watch.Seconds();
  const Completion& completion = groups[0].completions(0);
  if (options.run.json && whole) {
    PrintJson(config, manifest, prompt, completion);
  } else if (!options.run.json) {
    std::printf("%s\n", shown.Finish().c_str());
  }
  char line[160];
  std::snprintf(line, sizeof(line), "[%s | %d tokens | %.0f tok/s | temperature %g | seed %lu]",
                whole ? FinishName(completion).c_str() : "stopped by a signal",
                completion.ids_size(), completion.ids_size() / seconds,
                config.sampling().temperature(), static_cast<unsigned long>(config.seed()));
  Say(true, line);
  return whole ? 0 : 75;
}

int SampleFile(const SampleOptions& options, Config config, std::stop_token stop) {
  USER_CHECK(options.prompt.empty(),
             "[sample] --prompt and --input cannot be used together; leave one out");
  if (options.samples > 0) config.mutable_sample()->set_samples(options.samples);
  const std::string folder = options.run.run.empty() ? options.output + ".run" : options.run.run;
  SampleJob job(config, {.input = options.input,
                         .output = options.output,
                         .folder = folder,
                         .session = {.threads = options.run.threads},
                         .print = [&](const std::string& line) { Say(options.run.json, line); }});
  if (!job.Sample(stop)) {
    Say(options.run.json, "stopped by a signal; what was scored is kept in " + folder +
                              ". Run the same command again to continue.");
    return 75;
  }
  const std::string manifest = job.Publish();
  const Json json = ParseJson(manifest, "manifest");
  std::string line = options.output + ": " + std::to_string(json.Integer("rows", "manifest")) +
                     " rows from " + std::to_string(json.Integer("samples", "manifest")) +
                     " samples";
  for (const auto& [reason, count] : json.At("dropped", "manifest").members) {
    line += " | " + reason + " " + count.text;
  }
  Say(options.run.json, line);
  Say(options.run.json, "The lineage of the rows is in " + options.output +
                            ".manifest.json. To see every sample, also those that were dropped, "
                            "run: grouper-trace show " +
                            folder);
  if (options.run.json) std::printf("%s\n", manifest.c_str());
  return 0;
}

}  // namespace

int RunSampleCommand(const SampleOptions& options, std::stop_token stop) {
  Config config = LoadConfigFor(options.run, options.checkpoint);
  if (options.seed) config.set_seed(*options.seed);
  if (!options.input.empty()) return SampleFile(options, std::move(config), stop);
  USER_CHECK(options.output.empty() && options.samples == 0,
             "[sample] --output and --samples need --input FILE.jsonl; add it or leave them out");
  return SampleOnePrompt(options, std::move(config), stop);
}

}  // namespace grouper
