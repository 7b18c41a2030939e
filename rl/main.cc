// grouper: launch RL jobs. Declares subcommands and flags; command/*.cc do the work.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/thread.h"
#include "rl/command/run_options.h"

namespace grouper {
namespace {

constexpr const char* kVersion = "grouper 0.1.0";

void AddRunFlags(CLI::App* app, RunOptions* options, bool run_folder) {
  CLI::Option* config =
      app->add_option("--config", options->config_files, "textproto files, merged left to right");
  if (run_folder) config->required();
  app->add_option("--set", options->set, "one setting, a.b=c; may be repeated")
      ->allow_extra_args(false);
  if (run_folder) {
    app->add_option("--run", options->run,
                    "run folder; one that holds a checkpoint goes on from it");
    app->add_flag("--dry-run", options->dry_run,
                  "check config and data, start nothing; train: print its schedule and memory");
    app->add_flag("--print-config", options->print_config,
                  "print the resolved config and nothing else, start nothing");
  }
  app->add_option("--threads", options->threads, "threads; 0: GROUPER_THREADS or the cores")
      ->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "JSON on stdout, people's text on stderr");
}

int Run(int argc, char** argv) {
  CLI::App app{"Trains reasoning language models by group-relative policy optimization (GRPO)."};
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 2 a person can fix it, 75 try again (stopped after a checkpoint, service "
      "down, disk full), 1 internal.\nExample: grouper quickstart --seed 1 --run runs/quickstart");

  QuickstartOptions quickstart;
  CLI::App* quick =
      app.add_subcommand("quickstart", "watch a tiny MoE policy learn to reason, in minutes");
  quick->add_option("--seed", quickstart.seed, "seed of everything random");
  quick->add_option("--run", quickstart.run, "run folder; the same command goes on from it");
  quick->add_option("--set", quickstart.set, "a setting of the RL stage, a.b=c")
      ->allow_extra_args(false);
  quick->add_option("--threads", quickstart.threads, "threads")->check(CLI::Range(0, 1024));
  quick->add_flag("--smoke", quickstart.smoke, "the same path, shrunk to a few seconds");
  quick->add_flag("--json", quickstart.json, "one JSON object on stdout");
  quick->footer("Example: grouper quickstart --seed 1 --run runs/quickstart --json");

  RunOptions train;
  CLI::App* train_app = app.add_subcommand("train", "GRPO: sample, score, update");
  AddRunFlags(train_app, &train, true);
  train_app->footer(
      "Example: grouper train --config examples/gsm8k.textproto --set data.train=train.jsonl --run "
      "runs/gsm8k");

  RunOptions sft;
  CLI::App* sft_app = app.add_subcommand("sft", "supervised training: cold start, distillation");
  AddRunFlags(sft_app, &sft, true);
  sft_app->footer(
      "Example: grouper sft --config examples/quickstart_base.textproto --run runs/base");

  EvalOptions eval;
  CLI::App* eval_app = app.add_subcommand("eval", "held-out pass@k and maj@k of a checkpoint");
  AddRunFlags(eval_app, &eval.run, false);
  eval_app->add_option("--checkpoint", eval.checkpoint,
                       "run or checkpoint folder; its own config where --config is left out");
  eval_app->add_option("--run", eval.run.run,
                       "folder for the samples, as traces (grouper-trace show DIR)");
  eval_app->footer(
      "Settings: eval.questions, eval.samples, eval.temperature, eval.top_p, eval.max_new_tokens, "
      "data.eval.\nExample: grouper eval --checkpoint runs/quickstart/rl --set eval.samples=8 "
      "--run "
      "runs/eval");

  SampleOptions sample;
  CLI::App* sample_app =
      app.add_subcommand("sample", "one prompt to the terminal, or rejection sampling of a file");
  AddRunFlags(sample_app, &sample.run, false);
  sample_app->add_option("--checkpoint", sample.checkpoint,
                         "run or checkpoint folder; its own config where --config is left out");
  sample_app->add_option("--seed", sample.seed, "seed of the samples");
  sample_app->add_option("--prompt", sample.prompt, "the question; left out: standard input");
  sample_app->add_option("--input", sample.input, "JSONL of questions with golds");
  sample_app->add_option("--output", sample.output,
                         "JSONL of rows for grouper sft; OUTPUT.manifest.json beside it");
  sample_app->add_option("--samples", sample.samples, "samples of a question of the file")
      ->check(CLI::Range(1, 65536));
  sample_app->add_option("--run", sample.run.run,
                         "folder for all samples, as traces; the same command goes on from it "
                         "(default OUTPUT.run)");
  sample_app->footer(
      "Settings: sampling.temperature, sampling.top_p, ...; filters: sample.*.\nExamples: grouper "
      "sample --checkpoint runs/quickstart/rl --prompt 'calc 14+15-9' --set "
      "sampling.temperature=0\n  grouper sample --checkpoint runs/gsm8k --input train.jsonl "
      "--samples 8 --output sampled.jsonl");

  ReplayCommandOptions replay;
  CLI::App* replay_app =
      app.add_subcommand("replay", "make a step of a run again and compare every bit");
  replay_app->add_option("RUN", replay.run, "run folder of grouper train; only read")->required();
  replay_app->add_option("--step", replay.step, "counted from 0, as in metrics.jsonl")->required();
  replay_app->add_option("--set", replay.set, "over the run's own, a.b=c")->allow_extra_args(false);
  replay_app->add_option("--threads", replay.threads, "threads")->check(CLI::Range(0, 1024));
  replay_app->add_flag("--json", replay.json, "one JSON object on stdout");
  replay_app->footer(
      "Starts from the newest valid checkpoint at or before the step; steps between are made and "
      "compared too, with the verdicts\nof the record: no reward service is needed. Exit codes: 0 "
      "equal, 1 different, 2 bad usage.\nExample: grouper replay runs/quickstart/rl --step 3");

  DoctorOptions doctor;
  CLI::App* doctor_app = app.add_subcommand("doctor", "what this machine has, and self checks");
  doctor_app->add_option("--threads", doctor.threads, "threads")->check(CLI::Range(0, 1024));
  doctor_app->add_flag("--json", doctor.json, "JSON on stdout");
  doctor_app->footer("Example: grouper doctor");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  SetLogRole(app.get_subcommands().front()->get_name());
  const std::stop_token stop = StopOnSignals();
  if (quick->parsed()) return RunQuickstart(quickstart, stop);
  if (train_app->parsed()) return RunTrainCommand(train, stop);
  if (sft_app->parsed()) return RunSftCommand(sft, stop);
  if (eval_app->parsed()) return RunEvalCommand(eval, stop);
  if (sample_app->parsed()) return RunSampleCommand(sample, stop);
  if (replay_app->parsed()) return RunReplayCommand(replay, stop);
  return RunDoctor(doctor);
}

}  // namespace
}  // namespace grouper

int main(int argc, char** argv) {
  return grouper::ExitCodeOf(
      [&] { return grouper::Run(argc, argv); },
      [](const std::string& message) { grouper::LogError(message); },
      [](const std::string& what) { grouper::LogError("[internal] " + what); });
}
