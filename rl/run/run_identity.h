// What decides the bits of a run. A resume must have the same settings, apart from those that
// proto/config.proto lists as (may_differ), and the same content in what the run reads: the file of
// data.train and the checkpoints of init_from and reference.init_from. Paths are no part of it.
// Free functions, any thread.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "proto/config.pb.h"
#include "proto/run.pb.h"

namespace grouper {

// One line of textproto for each setting that must stay as it is. kInternal when a (may_differ)
// names no setting.
std::vector<std::string> IdentityLines(Config config);

// What a run reads, by setting (proto/run.proto).
using RunInputs = google::protobuf::RepeatedPtrField<RunInput>;

// The content of a setting's input; empty when there is none.
std::string InputOf(const RunInputs& inputs, const std::string& setting);
void AddInput(const std::string& setting, const std::string& content, RunInputs* inputs);

// Compares what a resumed run would read with what its checkpoint says that it read. `config` is
// that of this start, `stored` that of the start before, `data` the content of data.train now.
// Returns the inputs for the next checkpoint. A folder of first weights is opened only when its
// setting has changed. kUser naming the setting, both contents and what to do. A checkpoint that is
// older than this record is compared by the texts of the settings, and that is logged.
RunInputs CheckInputs(const RunInputs& recorded, const Config& stored, const Config& config,
                      const std::string& data);

}  // namespace grouper
