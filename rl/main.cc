// grouper: launch RL jobs. Declares subcommands and flags; command/*.cc do the work.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "base/exit_code.h"
#include "base/io/output.h"
#include "base/log.h"
#include "base/thread.h"
#include "rl/command/run_options.h"

namespace grouper {
namespace {

constexpr const char* kVersion = "grouper 0.1.0";

void AddRunFlags(CLI::App* app, RunOptions* options, bool run_folder) {
  CLI::Option* config =
      app->add_option("--config", options->config_files,
                      "config files (textproto); a later file overrides an earlier one");
  if (run_folder) config->required();
  app->add_option("--set", options->set,
                  "one setting as a.b=c, over the config files; may be repeated, and a list then "
                  "gets all values")
      ->allow_extra_args(false);
  if (run_folder) {
    app->add_option("--run", options->run,
                    "run folder; a run that has a checkpoint there is continued");
    app->add_flag(
        "--dry-run", options->dry_run,
        "check the config and the data without starting; train also prints schedule and memory");
    app->add_flag("--print-config", options->print_config,
                  "print the resolved config without starting");
  }
  app->add_option("--threads", options->threads,
                  "number of threads; 0 takes GROUPER_THREADS or the number of cores")
      ->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "print JSON on stdout and text for people on stderr");
}

CLI::App* AddQuickstart(CLI::App* parent, QuickstartOptions* options) {
  CLI::App* app =
      parent->add_subcommand("quickstart", "watch a tiny MoE policy learn to reason, in minutes");
  app->add_option("--seed", options->seed, "seed of all random numbers")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--run", options->run,
                  "run folder; the same command continues a run that was stopped");
  app->add_option("--set", options->set, "one setting of the RL stage as a.b=c; may be repeated")
      ->allow_extra_args(false);
  app->add_option("--threads", options->threads, "number of threads")->check(CLI::Range(0, 1024));
  app->add_flag("--smoke", options->smoke, "the same stages, shrunk to a few seconds");
  app->add_flag("--json", options->json, "print one JSON object on stdout");
  app->footer("Example: grouper quickstart --seed 1 --run runs/quickstart --json");
  return app;
}

CLI::App* AddTrain(CLI::App* parent, RunOptions* options) {
  CLI::App* app = parent->add_subcommand("train", "train with GRPO: sample, score, update");
  AddRunFlags(app, options, true);
  app->footer(
      "Example: grouper train --config examples/gsm8k.textproto --set data.train=train.jsonl --run "
      "runs/gsm8k");
  return app;
}

CLI::App* AddSft(CLI::App* parent, RunOptions* options) {
  CLI::App* app =
      parent->add_subcommand("sft", "train on demonstrations: cold start, distillation");
  AddRunFlags(app, options, true);
  app->footer("Example: grouper sft --config examples/quickstart_base.textproto --run runs/base");
  return app;
}

CLI::App* AddEval(CLI::App* parent, EvalOptions* options) {
  CLI::App* app =
      parent->add_subcommand("eval", "measure held-out pass@k and maj@k of a checkpoint");
  AddRunFlags(app, &options->run, false);
  app->add_option("--checkpoint", options->checkpoint,
                  "run or checkpoint folder; its own config is used when --config is left out");
  app->add_option(
      "--run", options->run.run,
      "folder that keeps the samples as a trace (see them with grouper-trace show DIR)");
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
      "sample", "answer one prompt, or make training rows from a file by rejection sampling");
  AddRunFlags(app, &options->run, false);
  app->add_option("--checkpoint", options->checkpoint,
                  "run or checkpoint folder; its own config is used when --config is left out");
  app->add_option("--seed", options->seed, "seed of the samples")->check(CLI::NonNegativeNumber);
  app->add_option("--prompt", options->prompt,
                  "the question; without it the question is read from standard input");
  app->add_option("--input", options->input,
                  "JSONL file of questions with golds (correct answers)");
  app->add_option("--output", options->output,
                  "JSONL file for the rows that grouper sft reads; OUTPUT.manifest.json says how "
                  "they were made");
  app->add_option("--samples", options->samples, "number of samples per question of the file")
      ->check(CLI::Range(1, 65536));
  app->add_option("--run", options->run.run,
                  "folder that keeps all samples as a trace; the same command continues from it "
                  "(default: OUTPUT.run)");
  app->footer(
      "Settings: sampling.temperature, sampling.top_p, ...; filters: sample.*.\nExamples: grouper "
      "sample --checkpoint runs/quickstart/rl --prompt 'calc 14+15-9' --set "
      "sampling.temperature=0\n  grouper sample --checkpoint runs/gsm8k --input train.jsonl "
      "--samples 8 --output sampled.jsonl");
  return app;
}

CLI::App* AddReplay(CLI::App* parent, ReplayCommandOptions* options) {
  CLI::App* app = parent->add_subcommand("replay", "repeat a step of a run and compare every bit");
  app->add_option("RUN", options->run, "run folder of grouper train; it is only read")->required();
  app->add_option("--step", options->step, "number of the step, counted from 0 as in metrics.jsonl")
      ->check(CLI::NonNegativeNumber)
      ->required();
  app->add_option("--set", options->set,
                  "one setting as a.b=c, over the run's own config; may be repeated")
      ->allow_extra_args(false);
  app->add_option("--threads", options->threads, "number of threads")->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "print one JSON object on stdout");
  app->footer(
      "Starts from the newest valid checkpoint at or before the step. The steps between are "
      "repeated "
      "and compared too.\nVerdicts come from the record, so no reward service is needed. Exit "
      "codes: 0 "
      "equal, 1 different, 2 bad usage.\nExample: grouper replay runs/quickstart/rl --step 3");
  return app;
}

CLI::App* AddDoctor(CLI::App* parent, DoctorOptions* options) {
  CLI::App* app =
      parent->add_subcommand("doctor", "show what this machine has and run self checks");
  app->add_option("--threads", options->threads, "number of threads")->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "print JSON on stdout");
  app->footer("Example: grouper doctor");
  return app;
}

int Run(int argc, char** argv) {
  CLI::App app{"Trains reasoning language models by group-relative policy optimization (GRPO)."};
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success; 2 an error that you can fix; 75 try again later (stopped after a "
      "checkpoint, service down, disk full); 1 internal error.\nExample: grouper quickstart --seed "
      "1 --run runs/quickstart");

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
      [&] {
        const int code = grouper::Run(argc, argv);
        grouper::FlushStdout();
        return code;
      },
      [](const std::string& message) { grouper::LogError(message); },
      [](const std::string& what) { grouper::LogError("[internal] " + what); });
}
