// Rejection sampling of a file of questions. The job samples k completions per question, scores
// them over gRPC and stores them durably as a trace. Then it writes those that pass the filters as
// rows for `grouper sft`, with their lineage. One process owns a job's folder.
//   1. The trace holds the groups in the order of the file's rows. A job that is started again
//      continues after the last one.
//   2. The rows and the manifest are a pure function of the trace and the filters (sample.*).
//   3. Everything that decides the samples (data, weights, policy, sampling, seed, rubrics, k) is
//      the job's identity. A job with another identity is refused in the same folder.
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
  std::string output;  // JSONL of rows; the manifest is OUTPUT.manifest.json
  std::string folder;  // the job's own folder: config.textproto, identity.txt, traces/
  SessionOptions session;
  std::function<void(const std::string&)> print;  // receives a progress line after each step
};

class SampleJob {
 public:
  // Reads the rows and locks the folder. Throws kUser when there is no usable row, when the folder
  // is of another job or of a training run, and for settings that make no sense.
  SampleJob(const Config& config, SampleJobOptions options);
  ~SampleJob();

  // Samples and scores what the trace does not hold yet. Returns false when stop was requested; the
  // same call in another process then continues from what is durable. Throws kUnavailable when no
  // service answers.
  bool Sample(std::stop_token stop);
  // Writes the rows and the manifest durably, replacing older ones. Returns the manifest as JSON.
  std::string Publish();

 private:
  std::string Identity() const;
  void CheckIdentity() const;
  int64_t CountSampled();
  std::vector<Prompt> PromptsOf(int64_t begin, int64_t end) const;  // of the rows begin to end - 1

  Config config_;
  SampleJobOptions options_;
  Manifest checkpoint_;
  DataRows data_;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace grouper
