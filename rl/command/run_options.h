// Options of grouper's subcommands as plain structs: main.cc fills them, command/*.cc never see
// CLI11. Each command returns the exit code and writes people's text to stderr when json is set,
// else to stdout.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace grouper {

struct RunOptions {
  std::vector<std::string> config_files;
  std::vector<std::string> set;  // a.b=c
  std::string run;
  int threads = 0;
  bool json = false;
  bool dry_run = false;
  bool print_config = false;
};

struct QuickstartOptions {
  std::string run = "runs/quickstart";
  uint64_t seed = 1;
  std::vector<std::string> set;  // applied to the RL stage
  int threads = 0;
  bool smoke = false;
  bool json = false;
};

struct EvalOptions {
  RunOptions run;          // no config file: the checkpoint's own; run: where samples are kept
  std::string checkpoint;  // run or checkpoint folder; overrides init_from
};

struct SampleOptions {
  RunOptions run;          // no config file: the checkpoint's own; run: the job's folder
  std::string checkpoint;  // run or checkpoint folder; overrides init_from
  std::optional<uint64_t> seed;
  std::string prompt;         // empty: standard input
  std::string input, output;  // JSONL: rejection sampling of a file
  int samples = 0;            // 0: sample.samples
};

struct ReplayCommandOptions {
  std::string run;
  int64_t step = -1;
  std::vector<std::string> set;  // a.b=c over the run's own config
  int threads = 0;
  bool json = false;
};

struct DoctorOptions {
  int threads = 0;
  bool json = false;
};

// Files left to right, then --set, beneath them the values of config.profile; file paths inside a
// config are taken relative to it.
Config LoadConfig(const RunOptions& options);
// The same, with config.init_from at the newest checkpoint of `checkpoint` when that is named;
// without a config file what the checkpoint's run was started with. kUser when neither is named.
Config LoadConfigFor(const RunOptions& options, const std::string& checkpoint);
// Writes a line for people: to stderr when stdout carries JSON.
void Say(bool json, const std::string& line);

int RunQuickstart(const QuickstartOptions& options, std::stop_token stop);
int RunSftCommand(const RunOptions& options, std::stop_token stop);
int RunTrainCommand(const RunOptions& options, std::stop_token stop);
int RunEvalCommand(const EvalOptions& options, std::stop_token stop);
int RunSampleCommand(const SampleOptions& options, std::stop_token stop);
int RunReplayCommand(const ReplayCommandOptions& options, std::stop_token stop);
int RunDoctor(const DoctorOptions& options);

}  // namespace grouper
