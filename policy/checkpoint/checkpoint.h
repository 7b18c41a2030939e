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

// Reads and verifies MANIFEST and the hash of every file. kUser naming the file and what is wrong.
Manifest VerifyCheckpoint(const std::string& folder);

// Loads a verified checkpoint into the same policy; the caller must refresh the transposed weights.
// kUser when a switch of the policy (max_positions aside) or a tensor differs. With an optimizer it
// is a resume, which also needs the same numeric profile and table of rotations; with nullptr only
// the weights are loaded.
void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer);

// Loads the reference policy of a verified checkpoint into one of the same shape. kUser when it
// holds none.
void LoadReference(const std::string& folder, Policy* reference);

// The policy config that is stored with a checkpoint.
PolicyConfig CheckpointPolicyConfig(const Manifest& manifest);

}  // namespace grouper
