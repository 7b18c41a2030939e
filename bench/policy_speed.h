// Speeds of a whole policy at three sizes: one supervised update (forward, backward, AdamW) and
// sampling by the rollout engine. Batches and lengths are those of the programs that bench/peers.sh
// compares with.
#pragma once

#include <string>
#include <vector>

#include "kernels/stream.h"
#include "proto/policy.pb.h"

namespace grouper::bench {

struct PolicyCase {
  std::string name;  // "0.4M", "10M", "100M"
  PolicyConfig config;
  int64_t parameters = 0;  // what ParameterCount must give
  int64_t tokens = 0;      // of a training sequence
  int64_t sequences = 0;   // of a training batch
  int64_t new_tokens = 0;  // sampled per sequence after a prompt of 16
  int calls = 1;           // updates timed together
};
const std::vector<PolicyCase>& PolicyCases();

struct PolicySpeed {
  double peak_gflops = 0;          // multiply-adds from registers, best of this run
  double train_tok_s = 0;          // input tokens of an update / best time of an update
  double train_share_of_peak = 0;  // products' operations / time of the whole update / peak
  double gemm_share_of_peak = 0;   // products' operations / time inside products / peak
  double decode64_tok_s = 0;       // new tokens of 64 sequences / best time, prompts included
  double decode1_tok_s = 0;        // one sequence
  struct Part {
    std::string name;
    double seconds = 0;  // of one update
  };
  std::vector<Part> train_split;  // by operator, longest first, "rest" outside operators
};
// rounds: the best of so many counts; micro_batch: tokens of one forward and backward, 0: all.
PolicySpeed MeasurePolicy(const PolicyCase& policy, int rounds, int64_t micro_batch,
                          Stream& stream);

}  // namespace grouper::bench
