// A checkpoint is a folder: model.safetensors (file form), optimizer.safetensors (moments, file
// form) and MANIFEST (textproto of run.proto's Manifest with size and SHA-256 of each file).
// Published by writing a temporary folder beside it, fsync, rename, fsync of the parent; a
// half-written one is never loaded (durability.md 3).
#pragma once

#include <string>

#include "policy/optimizer.h"
#include "policy/policy.h"
#include "proto/run.pb.h"

namespace grouper {

// Writes folder; `manifest` brings counters and offsets, files and hashes are filled in. optimizer
// may be nullptr (weights only).
void SaveCheckpoint(const std::string& folder, const Policy& policy, Optimizer* optimizer,
                    Manifest manifest);

// Reads and verifies MANIFEST and the hash of every file. kUser naming the file and what is wrong.
Manifest VerifyCheckpoint(const std::string& folder);

// Loads a verified checkpoint into a policy of the same shape; optimizer may be nullptr. kUser when
// shapes, tensor names or the numeric profile differ.
void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer);

// Shape stored with a checkpoint.
PolicyConfig CheckpointPolicyConfig(const Manifest& manifest);

}  // namespace grouper
