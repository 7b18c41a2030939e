#include "policy/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/file.h"
#include "base/kill_point.h"
#include "kernels/numerics.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/checkpoint/safetensors.h"
#include "proto/textproto.h"

namespace grouper {
namespace {

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kReferenceFile = "reference.safetensors";
constexpr const char* kManifestFile = "MANIFEST";

SafetensorsEntry EmptyEntry(const FileTensors& form, const FileTensor& tensor,
                            const std::string& prefix) {
  return {.name = prefix + tensor.name,
          .dtype = form.dtype_name(),
          .shape = tensor.shape,
          .bytes = std::vector<char>(form.FileBytes(tensor))};
}

std::string WeightsFile(const FileTensors& form, const Weights& weights) {
  std::vector<SafetensorsEntry> entries;
  for (const FileTensor& tensor : form.tensors()) {
    entries.push_back(EmptyEntry(form, tensor, ""));
    form.Read(tensor, weights, entries.back().bytes.data());
  }
  return WriteSafetensors(std::move(entries));
}

// One of Adam's moments. The router bias is moved without gradients and has none.
void AddMoment(const FileTensors& form, const Buffer& moment, const std::string& prefix,
               std::vector<SafetensorsEntry>* entries) {
  for (const FileTensor& tensor : form.tensors()) {
    if (tensor.router_bias) continue;
    entries->push_back(EmptyEntry(form, tensor, prefix));
    form.Read(tensor, moment, entries->back().bytes.data());
  }
}

// The bytes may lie unaligned in the mapped file, so they are copied before they are read as
// numbers.
std::vector<char> AlignedBytes(const FileTensors& form, const FileTensor& tensor,
                               const SafetensorsFile& file, const std::string& path,
                               const std::string& name) {
  const SafetensorsView* view = file.Find(name);
  USER_CHECK(
      view != nullptr,
      "[checkpoint] a tensor is missing from the file; make policy the same as the checkpoint's",
      Named("file", path), Named("tensor", name));
  USER_CHECK(view->dtype == form.dtype_name() && view->shape == tensor.shape,
             "[checkpoint] a tensor has another shape or type than in the config's policy; make "
             "policy the "
             "same as the checkpoint's",
             Named("file", path), Named("tensor", name));
  return {view->bytes.begin(), view->bytes.end()};
}

void ReadWeights(const SafetensorsFile& file, const std::string& path, Weights* weights) {
  const FileTensors form(*weights);
  for (const FileTensor& tensor : form.tensors()) {
    form.Write(tensor, AlignedBytes(form, tensor, file, path, tensor.name).data(), weights);
  }
}

void ReadMoment(const FileTensors& form, const SafetensorsFile& file, const std::string& path,
                const std::string& prefix, Buffer* moment) {
  for (const FileTensor& tensor : form.tensors()) {
    if (tensor.router_bias) continue;
    form.Write(tensor, AlignedBytes(form, tensor, file, path, prefix + tensor.name).data(), moment);
  }
}

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

void CheckVouched(const std::string& folder, const Manifest& manifest, const std::string& name) {
  const auto& files = manifest.file();
  USER_CHECK(
      std::any_of(files.begin(), files.end(),
                  [&](const ManifestFile& file) { return file.name() == name; }),
      "[checkpoint] the manifest does not name a file that is needed; use another checkpoint",
      Named("checkpoint", folder), Named("file", name));
}

void AddFile(const std::string& folder, const std::string& name, const std::string& bytes,
             Manifest* manifest) {
  PublishFile(JoinPath(folder, name), bytes);
  ManifestFile* file = manifest->add_file();
  file->set_name(name);
  file->set_bytes(bytes.size());
  file->set_sha256(Sha256Hex(bytes));
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
  AddFile(temporary, kModelFile, WeightsFile(form, weights), &manifest);
  KILL_POINT("checkpoint.model_written");
  if (optimizer != nullptr) {
    std::vector<SafetensorsEntry> moments;
    AddMoment(form, optimizer->m(), "exp_avg.", &moments);
    AddMoment(form, optimizer->v(), "exp_avg_sq.", &moments);
    AddFile(temporary, kOptimizerFile, WriteSafetensors(std::move(moments)), &manifest);
  }
  if (reference != nullptr) {
    const Weights& frozen = reference->weights();
    AddFile(temporary, kReferenceFile, WeightsFile(FileTensors(frozen), frozen), &manifest);
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

Manifest VerifyCheckpoint(const std::string& folder) {
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
    const std::string bytes = ReadFile(path, "checkpoint file");
    USER_CHECK(bytes.size() == file.bytes(),
               "[checkpoint] the file has another size than its manifest says; use an older "
               "checkpoint",
               Named("file", path), Named("bytes", bytes.size()),
               Named("manifest_bytes", file.bytes()));
    USER_CHECK(
        Sha256Hex(bytes) == file.sha256(),
        "[checkpoint] the file's SHA-256 differs from its manifest: it is damaged; use an older "
        "checkpoint",
        Named("file", path));
  }
  return manifest;
}

void LoadCheckpoint(const std::string& folder, Policy* policy, Optimizer* optimizer) {
  const Manifest manifest = VerifyCheckpoint(folder);
  Weights& weights = policy->weights();
  CheckSamePolicy(folder, CheckpointPolicyConfig(manifest), weights.config());
  CheckVouched(folder, manifest, kModelFile);
  if (optimizer != nullptr) {
    CheckVouched(folder, manifest, kOptimizerFile);
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
  const std::string model = JoinPath(folder, kModelFile);
  const MappedFile model_map(model, "checkpoint");
  ReadWeights(ReadSafetensors(model_map.bytes(), model), model, &weights);
  if (optimizer != nullptr) {
    const std::string path = JoinPath(folder, kOptimizerFile);
    const MappedFile map(path, "optimizer state");
    const SafetensorsFile moments = ReadSafetensors(map.bytes(), path);
    const FileTensors form(weights);
    ReadMoment(form, moments, path, "exp_avg.", &optimizer->m());
    ReadMoment(form, moments, path, "exp_avg_sq.", &optimizer->v());
  }
  USER_CHECK(
      WeightsSha256(weights) == manifest.weights_sha256(),
      "[checkpoint] the weights differ from the manifest's digest; make policy the same as the "
      "checkpoint's",
      Named("checkpoint", folder));
}

void LoadReference(const std::string& folder, Policy* reference) {
  CheckVouched(folder, VerifyCheckpoint(folder), kReferenceFile);
  const std::string path = JoinPath(folder, kReferenceFile);
  const MappedFile map(path, "reference policy");
  ReadWeights(ReadSafetensors(map.bytes(), path), path, &reference->weights());
}

PolicyConfig CheckpointPolicyConfig(const Manifest& manifest) {
  PolicyConfig config;
  MergeTextproto(manifest.policy_config(), "checkpoint policy_config", &config);
  return config;
}

}  // namespace grouper
