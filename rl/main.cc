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

CLI::App* AddQuickstart(CLI::App* parent, QuickstartOptions* options) {
  CLI::App* app =
      parent->add_subcommand("quickstart", "watch a tiny MoE policy learn to reason, in minutes");
  app->add_option("--seed", options->seed, "seed of everything random");
  app->add_option("--run", options->run, "run folder; the same command goes on from it");
  app->add_option("--set", options->set, "a setting of the RL stage, a.b=c")
      ->allow_extra_args(false);
  app->add_option("--threads", options->threads, "threads")->check(CLI::Range(0, 1024));
  app->add_flag("--smoke", options->smoke, "the same path, shrunk to a few seconds");
  app->add_flag("--json", options->json, "one JSON object on stdout");
  app->footer("Example: grouper quickstart --seed 1 --run runs/quickstart --json");
  return app;
}

CLI::App* AddTrain(CLI::App* parent, RunOptions* options) {
  CLI::App* app = parent->add_subcommand("train", "GRPO: sample, score, update");
  AddRunFlags(app, options, true);
  app->footer(
      "Example: grouper train --config examples/gsm8k.textproto --set data.train=train.jsonl --run "
      "runs/gsm8k");
  return app;
}

CLI::App* AddSft(CLI::App* parent, RunOptions* options) {
  CLI::App* app = parent->add_subcommand("sft", "supervised training: cold start, distillation");
  AddRunFlags(app, options, true);
  app->footer("Example: grouper sft --config examples/quickstart_base.textproto --run runs/base");
  return app;
}

CLI::App* AddEval(CLI::App* parent, EvalOptions* options) {
  CLI::App* app = parent->add_subcommand("eval", "held-out pass@k and maj@k of a checkpoint");
  AddRunFlags(app, &options->run, false);
  app->add_option("--checkpoint", options->checkpoint,
                  "run or checkpoint folder; its own config where --config is left out");
  app->add_option("--run", options->run.run,
                  "folder for the samples, as traces (grouper-trace show DIR)");
  app->footer(
      "Settings: eval.questions, eval.samples, eval.temperature, eval.top_p, "
      "eval.max_new_tokens, "
      "data.eval.\nExample: grouper eval --checkpoint runs/quickstart/rl --set eval.samples=8 "
      "--run "
      "runs/eval");
  return app;
}

CLI::App* AddSample(CLI::App* parent, SampleOptions* options) {
  CLI::App* app = parent->add_subcommand(
      "sample", "one prompt to the terminal, or rejection sampling of a file");
  AddRunFlags(app, &options->run, false);
  app->add_option("--checkpoint", options->checkpoint,
                  "run or checkpoint folder; its own config where --config is left out");
  app->add_option("--seed", options->seed, "seed of the samples");
  app->add_option("--prompt", options->prompt, "the question; left out: standard input");
  app->add_option("--input", options->input, "JSONL of questions with golds");
  app->add_option("--output", options->output,
                  "JSONL of rows for grouper sft; OUTPUT.manifest.json beside it");
  app->add_option("--samples", options->samples, "samples of a question of the file")
      ->check(CLI::Range(1, 65536));
  app->add_option("--run", options->run.run,
                  "folder for all samples, as traces; the same command goes on from it "
                  "(default OUTPUT.run)");
  app->footer(
      "Settings: sampling.temperature, sampling.top_p, ...; filters: sample.*.\nExamples: grouper "
      "sample --checkpoint runs/quickstart/rl --prompt 'calc 14+15-9' --set "
      "sampling.temperature=0\n  grouper sample --checkpoint runs/gsm8k --input train.jsonl "
      "--samples 8 --output sampled.jsonl");
  return app;
}

CLI::App* AddReplay(CLI::App* parent, ReplayCommandOptions* options) {
  CLI::App* app =
      parent->add_subcommand("replay", "make a step of a run again and compare every bit");
  app->add_option("RUN", options->run, "run folder of grouper train; only read")->required();
  app->add_option("--step", options->step, "counted from 0, as in metrics.jsonl")->required();
  app->add_option("--set", options->set, "over the run's own, a.b=c")->allow_extra_args(false);
  app->add_option("--threads", options->threads, "threads")->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "one JSON object on stdout");
  app->footer(
      "Starts from the newest valid checkpoint at or before the step; steps between are made and "
      "compared too, with the verdicts\nof the record: no reward service is needed. Exit codes: 0 "
      "equal, 1 different, 2 bad usage.\nExample: grouper replay runs/quickstart/rl --step 3");
  return app;
}

CLI::App* AddDoctor(CLI::App* parent, DoctorOptions* options) {
  CLI::App* app = parent->add_subcommand("doctor", "what this machine has, and self checks");
  app->add_option("--threads", options->threads, "threads")->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "JSON on stdout");
  app->footer("Example: grouper doctor");
  return app;
}

int Run(int argc, char** argv) {
  CLI::App app{"Trains reasoning language models by group-relative policy optimization (GRPO)."};
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 2 a person can fix it, 75 try again (stopped after a checkpoint, service "
      "down, disk full), 1 internal.\nExample: grouper quickstart --seed 1 --run runs/quickstart");

  QuickstartOptions quickstart;
  const CLI::App* quick = AddQuickstart(&app, &quickstart);
  RunOptions train;
  const CLI::App* train_app = AddTrain(&app, &train);
  RunOptions sft;
  const CLI::App* sft_app = AddSft(&app, &sft);
  EvalOptions eval;
  const CLI::App* eval_app = AddEval(&app, &eval);
  SampleOptions sample;
  const CLI::App* sample_app = AddSample(&app, &sample);
  ReplayCommandOptions replay;
  const CLI::App* replay_app = AddReplay(&app, &replay);
  DoctorOptions doctor;
  AddDoctor(&app, &doctor);

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
