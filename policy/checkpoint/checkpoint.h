// A checkpoint is a folder: model.safetensors (file form), optimizer.safetensors (moments, file
// form), reference.safetensors (weights of the reference policy, where there is one) and MANIFEST
// (textproto of run.proto's Manifest with size and SHA-256 of each file; its last line is the
// SHA-256 of the lines above). Published by writing a temporary folder beside it, fsync, rename,
// fsync of the parent; a half-written one is never loaded (durability.md 3).
#pragma once

#include <string>

#include "policy/optimizer.h"
#include "policy/policy.h"
#include "proto/run.pb.h"

namespace grouper {

// Writes folder; `manifest` brings counters and offsets, files and hashes are filled in. optimizer
// may be nullptr (weights only), as may reference. A folder of this name is replaced in one step.
// DiskFull when there is no room: nothing is left behind and the call may be tried again.
void SaveCheckpoint(const std::string& folder, const Policy& policy, Optimizer* optimizer,
                    Manifest manifest, const Policy* reference = nullptr);

// Writes the folder's MANIFEST alone, sealed: for a folder that takes over files of a checkpoint.
void StoreManifest(const std::string& folder, const Manifest& manifest);

// Reads and verifies MANIFEST and the hash of every file. kUser naming the file and what is wrong.
Manifest VerifyCheckpoint(const std::string& folder);

// Loads a verified checkpoint into the same policy; the transposed weights are the caller's to
// refresh. kUser when a switch of the policy (max_positions aside), a tensor or the numeric profile
// differs. With an optimizer it is a resume, which also needs the same table of rotations; nullptr
// takes the weights alone.
void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer);

// The reference policy of a verified checkpoint into one of the same shape. kUser when it holds
// none.
void LoadReference(const std::string& folder, Policy* reference);

// Shape stored with a checkpoint.
PolicyConfig CheckpointPolicyConfig(const Manifest& manifest);

}  // namespace grouper
