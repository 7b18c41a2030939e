#include "policy/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/file.h"
#include "base/kill_point.h"
#include "kernels/numerics.h"
#include "policy/checkpoint/checkpoint_file.h"
#include "policy/checkpoint/file_tensors.h"
#include "proto/textproto.h"

namespace grouper {
namespace {

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kReferenceFile = "reference.safetensors";
constexpr const char* kManifestFile = "MANIFEST";
constexpr const char* kFirstMoment = "exp_avg.";
constexpr const char* kSecondMoment = "exp_avg_sq.";

// The tensors of a file, in the order in which they are written: that of their names.
std::vector<SafetensorsTensor> TensorsOf(const FileTensors& form, const std::string& prefix,
                                         bool with_router_bias) {
  std::vector<SafetensorsTensor> tensors;
  for (const FileTensor& tensor : form.tensors()) {
    if (tensor.router_bias && !with_router_bias) continue;
    tensors.push_back(
        {.name = prefix + tensor.name, .dtype = form.dtype_name(), .shape = tensor.shape});
  }
  return tensors;
}

ManifestFile WriteWeights(const std::string& folder, const char* name, const Weights& weights) {
  const FileTensors form(weights);
  return WriteCheckpointFile(folder, name, TensorsOf(form, "", true), [&](size_t i, char* bytes) {
    form.Read(form.tensors()[i], weights, bytes);
  });
}

// Adam's moments. The router bias is moved without gradients and has none.
ManifestFile WriteMoments(const std::string& folder, const FileTensors& form,
                          Optimizer* optimizer) {
  std::vector<SafetensorsTensor> tensors = TensorsOf(form, kFirstMoment, false);
  const std::vector<SafetensorsTensor> second = TensorsOf(form, kSecondMoment, false);
  tensors.insert(tensors.end(), second.begin(), second.end());
  std::vector<const FileTensor*> places;
  for (const FileTensor& tensor : form.tensors()) {
    if (!tensor.router_bias) places.push_back(&tensor);
  }
  return WriteCheckpointFile(folder, kOptimizerFile, std::move(tensors),
                             [&](size_t i, char* bytes) {
                               const bool first = i < places.size();
                               form.Read(*places[first ? i : i - places.size()],
                                         first ? optimizer->m() : optimizer->v(), bytes);
                             });
}

// Where the tensors of a file go, by name.
using Targets = std::unordered_map<std::string, std::pair<const FileTensor*, Buffer*>>;

// Reads every tensor of `targets` from a file; a target without a buffer is one of `weights`. When
// the file is refused, a part of it may have been stored.
void ReadTensors(const std::string& folder, const ManifestFile& file, const FileTensors& form,
                 Targets targets, Weights* weights) {
  const std::string path = JoinPath(folder, file.name());
  ReadCheckpointFile(folder, file, [&](const SafetensorsTensor& stored, const char* bytes) {
    const auto found = targets.find(stored.name);
    if (found == targets.end()) return;
    const auto [tensor, buffer] = found->second;
    USER_CHECK(stored.dtype == form.dtype_name() && stored.shape == tensor->shape,
               "[checkpoint] a tensor has another shape or type than in the config's policy; make "
               "policy the same as the checkpoint's",
               Named("file", path), Named("tensor", stored.name));
    if (buffer != nullptr) {
      form.Write(*tensor, bytes, buffer);
    } else {
      form.Write(*tensor, bytes, weights);
    }
    targets.erase(found);
  });
  if (targets.empty()) return;
  std::string missing = targets.begin()->first;
  for (const auto& [name, target] : targets) missing = std::min(missing, name);
  ThrowUser(
      "[checkpoint] a tensor is missing from the file; make policy the same as the checkpoint's",
      Named("file", path), Named("tensor", missing));
}

void ReadWeights(const std::string& folder, const ManifestFile& file, Weights* weights) {
  const FileTensors form(*weights);
  Targets targets;
  for (const FileTensor& tensor : form.tensors()) targets[tensor.name] = {&tensor, nullptr};
  ReadTensors(folder, file, form, std::move(targets), weights);
}

void ReadMoments(const std::string& folder, const ManifestFile& file, const Weights& layout,
                 Optimizer* optimizer) {
  const FileTensors form(layout);
  Targets targets;
  for (const FileTensor& tensor : form.tensors()) {
    if (tensor.router_bias) continue;
    targets.insert({kFirstMoment + tensor.name, {&tensor, &optimizer->m()}});
    targets.insert({kSecondMoment + tensor.name, {&tensor, &optimizer->v()}});
  }
  ReadTensors(folder, file, form, std::move(targets), nullptr);
}

// Overwrites numbers of which a part may come from a refused file with NaN, so that whoever used
// them all the same would see it at once.
void Spoil(Buffer* numbers) { std::memset(numbers->data(), 0xff, numbers->bytes()); }

// The manifest holds the hashes of all other files; its last line is the hash of the manifest.
std::string SealOf(const std::string& manifest) { return "# sha256 " + Sha256Hex(manifest) + "\n"; }

std::string ReadManifest(const std::string& path) {
  const std::string bytes = ReadFile(path, "checkpoint manifest", 1 << 20);
  const size_t seal = SealOf("").size(), end = bytes.size() - std::min(seal, bytes.size());
  USER_CHECK(bytes.substr(end) == SealOf(bytes.substr(0, end)),
             "[checkpoint] the manifest is damaged or cut: its last line is not the SHA-256 of the "
             "lines above; use an older checkpoint",
             Named("file", path));
  return bytes.substr(0, end);
}

// Puts the folder `temporary` in the place of `folder`. An older one stays whole under its name
// until the new one has it: the two are exchanged.
void PublishFolder(const std::string& temporary, const std::string& folder) {
  if (!FolderExists(folder)) {
    RenameDurably(temporary, folder);
    return;
  }
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0) {
    SyncFolder(FolderOf(folder));
    KILL_POINT("checkpoint.exchanged");
    RemoveTree(temporary);
    return;
  }
  // Some network file systems cannot exchange folders, so the older one is renamed first.
  const std::string aside = folder + ".old.tmp";
  RemoveTree(aside);
  RenameDurably(folder, aside);
  RenameDurably(temporary, folder);
  RemoveTree(aside);
}

// Every switch with its default written out, except the length of the context, which changes no
// weight.
std::string FunctionOf(PolicyConfig config) {
  config.clear_max_positions();
  config.mutable_attention();
  config.mutable_moe();
  return ToTextproto(config, true);
}

// Equal shapes are not enough: with other heads or another router the same numbers are another
// function.
void CheckSamePolicy(const std::string& folder, const PolicyConfig& stored,
                     const PolicyConfig& wanted) {
  std::istringstream a(FunctionOf(stored)), b(FunctionOf(wanted));
  std::string stored_line, wanted_line;
  while (std::getline(a, stored_line) && std::getline(b, wanted_line)) {
    USER_CHECK(stored_line == wanted_line,
               "[checkpoint] the checkpoint holds another policy than the config; make policy the "
               "same as the checkpoint's",
               Named("checkpoint", folder), Named("checkpoint_line", stored_line),
               Named("config_line", wanted_line));
  }
}

// The manifest's line of the file.
const ManifestFile& Vouched(const std::string& folder, const Manifest& manifest,
                            const std::string& name) {
  for (const ManifestFile& file : manifest.file()) {
    if (file.name() == name) return file;
  }
  ThrowUser("[checkpoint] the manifest does not name a file that is needed; use another checkpoint",
            Named("checkpoint", folder), Named("file", name));
}

// A fifth more than the numbers take, for names, shapes and the manifest.
uint64_t RoomFor(const FileTensors& form, bool with_optimizer, bool with_reference) {
  const uint64_t copies = with_reference ? 2 : 1;
  uint64_t bytes = 0;
  for (const FileTensor& tensor : form.tensors()) {
    bytes += form.FileBytes(tensor) * (copies + (with_optimizer && !tensor.router_bias ? 2 : 0));
  }
  return bytes / 5 * 6;
}

void WriteFolder(const std::string& temporary, const Policy& policy, Optimizer* optimizer,
                 Manifest manifest, const Policy* reference) {
  const Weights& weights = policy.weights();
  const FileTensors form(weights);
  RemoveTree(temporary);
  CheckRoom(FolderOf(temporary), RoomFor(form, optimizer != nullptr, reference != nullptr));
  MakeFolders(temporary);
  KILL_POINT("checkpoint.begun");
  manifest.clear_file();
  manifest.set_numeric_profile(numerics::kCpuProfile);
  manifest.set_tables_sha256(policy.rope().Sha256());
  manifest.set_weights_sha256(WeightsSha256(weights));
  manifest.set_policy_config(ToTextproto(weights.config()));
  *manifest.add_file() = WriteWeights(temporary, kModelFile, weights);
  KILL_POINT("checkpoint.model_written");
  if (optimizer != nullptr) *manifest.add_file() = WriteMoments(temporary, form, optimizer);
  if (reference != nullptr) {
    *manifest.add_file() = WriteWeights(temporary, kReferenceFile, reference->weights());
  }
  KILL_POINT("checkpoint.optimizer_written");
  StoreManifest(temporary, manifest);
  SyncFolder(temporary);
  KILL_POINT("checkpoint.manifest_written");
}

}  // namespace

void SaveCheckpoint(const std::string& folder, const Policy& policy, Optimizer* optimizer,
                    Manifest manifest, const Policy* reference) {
  CHECK(optimizer == nullptr || !optimizer->spoiled(),
        "[checkpoint] an update has spoiled these weights, so nothing is saved",
        Named("checkpoint", folder));
  const std::string temporary = folder + ".tmp";
  try {
    WriteFolder(temporary, policy, optimizer, std::move(manifest), reference);
  } catch (const Error&) {
    // Half a checkpoint is of no use, and it takes up room on a full disk.
    std::error_code ignored;
    std::filesystem::remove_all(temporary, ignored);
    throw;
  }
  PublishFolder(temporary, folder);
  KILL_POINT("checkpoint.renamed");
}

void StoreManifest(const std::string& folder, const Manifest& manifest) {
  const std::string text = ToTextproto(manifest);
  PublishFile(JoinPath(folder, kManifestFile), text + SealOf(text));
}

Manifest ReadCheckpointManifest(const std::string& folder) {
  Manifest manifest;
  const std::string manifest_path = JoinPath(folder, kManifestFile);
  MergeTextproto(ReadManifest(manifest_path), manifest_path, &manifest);
  USER_CHECK(
      manifest.format_version() == 1,
      "[checkpoint] this program does not know the checkpoint's format version; use the program "
      "that wrote it",
      Named("checkpoint", folder), Named("format_version", manifest.format_version()));
  USER_CHECK(manifest.file_size() > 0,
             "[checkpoint] the manifest names no file; use another checkpoint",
             Named("checkpoint", folder));
  for (const ManifestFile& file : manifest.file()) {
    const std::string path = JoinPath(folder, file.name());
    USER_CHECK(file.name().find('/') == std::string::npos,
               "[checkpoint] the manifest names a path where it must name a file; use another "
               "checkpoint",
               Named("checkpoint", folder), Named("file", Excerpt(file.name())));
    USER_CHECK(FileExists(path), "[checkpoint] a file is missing; use an older checkpoint",
               Named("file", path));
    const uint64_t bytes = FileSize(path);
    USER_CHECK(bytes == file.bytes(),
               "[checkpoint] the file has another size than its manifest says; use an older "
               "checkpoint",
               Named("file", path), Named("bytes", bytes), Named("manifest_bytes", file.bytes()));
  }
  return manifest;
}

Manifest VerifyCheckpoint(const std::string& folder) {
  Manifest manifest = ReadCheckpointManifest(folder);
  for (const ManifestFile& file : manifest.file()) VerifyCheckpointFile(folder, file);
  return manifest;
}

void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer) {
  const Manifest manifest = ReadCheckpointManifest(folder);
  Weights& weights = policy->weights();
  CheckSamePolicy(folder, CheckpointPolicyConfig(manifest), weights.config());
  const ManifestFile& model = Vouched(folder, manifest, kModelFile);
  if (optimizer != nullptr) {
    Vouched(folder, manifest, kOptimizerFile);
    USER_CHECK(
        manifest.numeric_profile() == numerics::kCpuProfile,
        "[checkpoint] the checkpoint was written under another numeric profile, so its bits would "
        "not be reproduced; resume it with the program that wrote it, or start a run with "
        "init_from",
        Named("checkpoint", folder), Named("checkpoint_profile", manifest.numeric_profile()),
        Named("program_profile", numerics::kCpuProfile));
    USER_CHECK(manifest.tables_sha256() == policy->rope().Sha256(),
               "[checkpoint] the checkpoint was written with another table of rotations (other "
               "max_positions, or another C library's cosines), so its bits would not be "
               "reproduced; resume where it was written, or start a run with init_from",
               Named("checkpoint", folder), Named("checkpoint_table", manifest.tables_sha256()),
               Named("program_table", policy->rope().Sha256()));
  }
  try {
    ReadWeights(folder, model, &weights);
    if (optimizer != nullptr) {
      ReadMoments(folder, Vouched(folder, manifest, kOptimizerFile), weights, optimizer);
    }
    USER_CHECK(
        WeightsSha256(weights) == manifest.weights_sha256(),
        "[checkpoint] the weights differ from the manifest's digest; make policy the same as the "
        "checkpoint's",
        Named("checkpoint", folder));
  } catch (const Error&) {
    Spoil(&weights.values());
    if (optimizer != nullptr) {
      Spoil(&optimizer->m());
      Spoil(&optimizer->v());
    }
    throw;
  }
}

void LoadReference(const std::string& folder, Policy* reference) {
  const Manifest manifest = ReadCheckpointManifest(folder);
  try {
    ReadWeights(folder, Vouched(folder, manifest, kReferenceFile), &reference->weights());
  } catch (const Error&) {
    Spoil(&reference->weights().values());
    throw;
  }
}

PolicyConfig CheckpointPolicyConfig(const Manifest& manifest) {
  PolicyConfig config;
  MergeTextproto(manifest.policy_config(), "checkpoint policy_config", &config);
  return config;
}

}  // namespace grouper
