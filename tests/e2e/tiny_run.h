// A training run of a second, for tests that look at the program from outside: its config, its
// command, and what a run that nothing befell came to.
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
  // data.train: two rows of JSONL in the tokenizer of bytes, in a file beside the config; otherwise
  // the tasks of the quickstart.
  bool rows = false;
  std::string eval = {};      // data.eval
  std::string settings = {};  // further ones, textproto

  // Writes FOLDER/tiny.textproto, and FOLDER/rows.jsonl where it is named; the config's path.
  std::string Write(const std::string& folder) const;
};

// `grouper train` of this config in the folder `run` on one thread; settings: "a.b=c".
std::vector<std::string> TrainArguments(const std::string& config, const std::string& run,
                                        const std::vector<std::string>& settings = {});

// The finished run's result.json and the digest of its traces.
std::string ResultOf(const std::string& run);

}  // namespace grouper::testing
