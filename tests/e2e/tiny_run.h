// A training run that takes about a second, for tests that look at the program from outside: its
// config, its command, and the result of a finished run.
#pragma once

#include <string>
#include <vector>

namespace grouper::testing {

struct TinyRun {
  int steps = 6;
  int checkpoint_every = 2;
  int prompts_per_step = 2;
  int width = 16;
  int head_dim = 8;  // two heads
  int layers = 1;
  int experts = 2;
  int experts_per_token = 1;
  // Whether data.train is a file of two rows of JSONL, with the tokenizer of bytes. Otherwise it is
  // the tasks of the quickstart.
  bool rows = false;
  std::string eval = {};      // data.eval
  std::string settings = {};  // further settings, as textproto

  // Writes FOLDER/tiny.textproto, and FOLDER/rows.jsonl when `rows` is set. Returns the config's
  // path.
  std::string Write(const std::string& folder) const;
};

// The arguments of `grouper train` with this config, in the folder `run`, on one thread. The
// settings are "a.b=c".
std::vector<std::string> TrainArguments(const std::string& config, const std::string& run,
                                        const std::vector<std::string>& settings = {});

// The finished run's result.json and the digest of its traces.
std::string ResultOf(const std::string& run);

}  // namespace grouper::testing
