// Writes samples as rows of supervised data, and the manifest that says where they come from.
// `grouper sft` and `grouper train` can read the rows. They hold the question and the answer under
// the names that data.* gives, the answer's tokens as they were sampled, and the golds. For use by
// one thread.
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
  // Writes to PATH.tmp. No file appears at PATH before Publish.
  RowWriter(const std::string& path, const DataConfig& config);
  void Add(const DataRow& row, const Group& group, int member);
  // Moves the file durably to PATH and returns its SHA-256 in hexadecimal. Call it once.
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
  int64_t skipped = 0;  // bad rows of the input that data.on_bad=SKIP left out
  std::string folder, output, output_sha256, graders;
  SampleCounts counts;
};

// The manifest as one JSON object on one line.
std::string ManifestJson(const SampleLineage& lineage);

}  // namespace grouper
