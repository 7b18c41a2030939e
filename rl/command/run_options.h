// The options of grouper's subcommands as plain structs. main.cc fills them in, so that the files
// of command/ need not know CLI11. Each command returns the exit code. It writes its text for
// people to stdout, or to stderr when json is set.
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
  std::vector<std::string> set;  // settings of the RL stage, a.b=c
  int threads = 0;
  bool smoke = false;
  bool json = false;
};

struct EvalOptions {
  RunOptions run;          // without a config file, the checkpoint's own; run.run keeps samples
  std::string checkpoint;  // run or checkpoint folder; overrides init_from
};

struct SampleOptions {
  RunOptions run;  // without a config file, the checkpoint's own; run.run is the job's folder
  std::string checkpoint;  // run or checkpoint folder; overrides init_from
  std::optional<uint64_t> seed;
  std::string prompt;         // when empty, it is read from standard input
  std::string input, output;  // JSONL; an input asks for rejection sampling of a file
  int samples = 0;            // 0 leaves sample.samples as it is
};

struct ReplayCommandOptions {
  std::string run;
  int64_t step = -1;
  std::vector<std::string> set;  // a.b=c, changes to the run's own config
  int threads = 0;
  bool json = false;
};

struct DoctorOptions {
  int threads = 0;
  bool json = false;
};

// The config of a command: the files, merged from left to right, then the settings of --set. The
// values of config.profile fill in what these leave out. A path inside a config file is relative to
// that file. kUser for a number out of its range, with the line of a file.
Config LoadConfig(const RunOptions& options);
// The same, with config.init_from set to the newest checkpoint of the folder `checkpoint` when one
// is named. Without a config file, the config that the checkpoint's run was started with. Throws
// kUser when neither is named.
Config LoadConfigFor(const RunOptions& options, const std::string& checkpoint);
// Writes a line for people, to stderr when stdout carries JSON. Throws what WriteOutput throws.
void Say(bool json, const std::string& line);

int RunQuickstart(const QuickstartOptions& options, std::stop_token stop);
int RunSftCommand(const RunOptions& options, std::stop_token stop);
int RunTrainCommand(const RunOptions& options, std::stop_token stop);
int RunEvalCommand(const EvalOptions& options, std::stop_token stop);
int RunSampleCommand(const SampleOptions& options, std::stop_token stop);
int RunReplayCommand(const ReplayCommandOptions& options, std::stop_token stop);
int RunDoctor(const DoctorOptions& options);

}  // namespace grouper
