// Rejection sampling of a file: k samples a question, scored over gRPC, durable as traces, then the
// ones that pass the filters as rows for `grouper sft` with their lineage. One process owns a job's
// folder.
//   1. Groups stand in the trace in order of the file's rows; a start goes on behind the last one.
//   2. Rows and manifest are a pure function of the trace and the filters (sample.*).
//   3. What decides the samples (data, weights, policy, sampling, seed, rubrics, k) is the job's
//      identity: another one in the same folder is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/io/file.h"
#include "policy/checkpoint/checkpoint.h"
#include "proto/config.pb.h"
#include "rl/data/data_rows.h"
#include "rl/run/session.h"

namespace grouper {

struct SampleJobOptions {
  std::string input;   // JSONL of questions with golds
  std::string output;  // JSONL of rows; OUTPUT.manifest.json stands beside it
  std::string folder;  // the job's own: config.textproto, identity.txt, traces/
  SessionOptions session;
  std::function<void(const std::string&)> print;  // a progress line
};

class SampleJob {
 public:
  // Reads the rows and takes the folder. kUser: no usable row, a folder of another job or of a
  // training run, settings that cannot be meant.
  SampleJob(const Config& config, SampleJobOptions options);
  ~SampleJob();

  // Samples and scores what the trace does not hold yet. False when stop was requested: what is
  // durable stays, the same call in another process goes on. kUnavailable when no service answers.
  bool Sample(std::stop_token stop);
  // Writes output and manifest durably, replacing older ones; returns the manifest's JSON object.
  std::string Publish();

 private:
  std::string Identity() const;
  void CheckIdentity() const;
  int64_t CountSampled();
  std::vector<Prompt> PromptsOf(int64_t begin, int64_t end) const;  // of rows begin to end - 1

  Config config_;
  SampleJobOptions options_;
  Manifest checkpoint_;
  DataRows data_;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace grouper
