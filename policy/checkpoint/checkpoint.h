// A checkpoint is a folder: model.safetensors (file form), optimizer.safetensors (moments, file
// form), reference.safetensors (weights of the reference policy, where there is one) and MANIFEST
// (textproto of run.proto's Manifest with size and SHA-256 of each file; its last line is the
// SHA-256 of the lines above). It is published by writing a temporary folder next to it, fsync,
// rename, fsync of the parent; one that is half written is never loaded (docs/formats.md,
// "Checkpoints").
#pragma once

#include <string>

#include "policy/optimizer.h"
#include "policy/policy.h"
#include "proto/run.pb.h"

namespace grouper {

// Writes folder. The caller sets counters and offsets in `manifest`; files and hashes are filled
// in. optimizer may be nullptr (weights only), and so may reference. kInternal when the optimizer
// has spoiled the weights. A folder of this name is
// replaced in one step. DiskFull when there is no room: nothing remains of the try, and the call
// may be repeated.
void SaveCheckpoint(const std::string& folder, const Policy& policy, Optimizer* optimizer,
                    Manifest manifest, const Policy* reference = nullptr);

// Writes only the folder's MANIFEST, with its last line: for a folder to which the files of a
// checkpoint were copied.
void StoreManifest(const std::string& folder, const Manifest& manifest);

// Reads MANIFEST, verifies it by its last line, and compares the sizes of the files. kUser naming
// the file and what is wrong. The content of the files is not read.
Manifest ReadCheckpointManifest(const std::string& folder);
// As above, and reads every file once to compare its hash.
Manifest VerifyCheckpoint(const std::string& folder);

// Loads a checkpoint into the same policy; the caller must refresh the transposed weights. Each
// file that is needed is read once and verified on the way: CheckpointDamaged (checkpoint_file.h)
// when it is not as the manifest says. kUser when a switch of the policy (max_positions aside) or a
// tensor differs. After an error in a file the numbers are NaN. With an optimizer it is a resume,
// which also needs the same numeric profile and table of rotations; with nullptr only the weights
// are loaded.
void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer);

// Loads the reference policy of a checkpoint into one of the same shape, likewise. kUser when it
// holds none.
void LoadReference(const std::string& folder, Policy* reference);

// The policy config that is stored with a checkpoint.
PolicyConfig CheckpointPolicyConfig(const Manifest& manifest);

}  // namespace grouper
