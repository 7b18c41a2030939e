// One file of a checkpoint, read or written from its first byte to its last: each byte passes once,
// is hashed on the way, and no more than one tensor is in memory. Free functions, any thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "policy/checkpoint/safetensors.h"
#include "proto/run.pb.h"

namespace grouper {

// A file of the checkpoint is cut or damaged: its size or its SHA-256 differs from the manifest's.
// kUser. An older checkpoint may be whole.
class CheckpointDamaged : public Error {
 public:
  explicit CheckpointDamaged(std::string message) : Error(ErrorKind::kUser, std::move(message)) {}
};

// Reads the file and compares size and hash.
void VerifyCheckpointFile(const std::string& folder, const ManifestFile& file);

// Calls visit(tensor, its bytes) for every tensor, in order of offset; the bytes are aligned for
// every dtype and valid during the call. The hash is known only at the end, so what was visited may
// be used only after this function returned. A damaged file gives CheckpointDamaged, whatever
// `visit` or the header had against its content.
using TensorVisitor = std::function<void(const SafetensorsTensor& tensor, const char* bytes)>;
void ReadCheckpointFile(const std::string& folder, const ManifestFile& file,
                        const TensorVisitor& visit);

// Writes FOLDER/NAME durably and returns its line of the manifest. fill(i, bytes) gives the bytes
// of tensors[i], which are in order of name; their begin and end need not be set.
ManifestFile WriteCheckpointFile(const std::string& folder, const std::string& name,
                                 std::vector<SafetensorsTensor> tensors,
                                 const std::function<void(size_t i, char* bytes)>& fill);

}  // namespace grouper
