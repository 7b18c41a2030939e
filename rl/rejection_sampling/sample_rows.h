// Rows of supervised data made from samples, and the manifest that says where they come from. Rows
// are what `grouper sft` and `grouper train` read: question and answer under the names of data.*,
// the answer's tokens as they were sampled, golds. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/digest.h"
#include "base/io/file.h"
#include "policy/tokenizer/tokenizer.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"
#include "proto/trace.pb.h"
#include "rl/data/data_rows.h"

namespace grouper {

class RowWriter {
 public:
  // Writes to PATH.tmp; nothing is seen at PATH before Publish.
  RowWriter(const std::string& path, const Config& config);
  void Add(const DataRow& row, const Group& group, int member);
  // Moves the file to its place durably; returns its SHA-256 in hexadecimal. Call once.
  std::string Publish();

 private:
  std::string path_;
  DataConfig data_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<AppendFile> file_;
  Sha256 hash_;
};

struct SampleCounts {
  int64_t questions = 0;
  int64_t samples = 0;
  int64_t rows = 0;
  std::map<std::string, int64_t> dropped;  // by reason
};

struct SampleLineage {
  Config config;  // resolved
  Manifest checkpoint;
  std::string input, input_sha256;
  int64_t skipped = 0;  // rows of the input that were bad (data.on_bad=SKIP)
  std::string folder, output, output_sha256, graders;
  SampleCounts counts;
};

// One JSON object on one line.
std::string ManifestJson(const SampleLineage& lineage);

}  // namespace grouper
