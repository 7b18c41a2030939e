#include "rl/run/run_dir.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "policy/checkpoint/checkpoint_file.h"
#include "proto/textproto.h"
#include "rl/run/run_identity.h"
#include "trace/store/segment.h"

namespace grouper {
namespace {

constexpr const char* kConfigName = "config.textproto";

// The names of published checkpoints, newest first.
std::vector<std::string> CheckpointNames(const std::string& run) {
  std::vector<std::string> names;
  for (const std::string& name : ListFolder(JoinPath(run, "checkpoints"))) {
    if (name.rfind("step-", 0) == 0 && name.find('.') == std::string::npos) names.push_back(name);
  }
  std::sort(names.rbegin(), names.rend());
  return names;
}

int64_t StepOf(const std::string& name) { return std::strtoll(name.c_str() + 5, nullptr, 10); }

// A resume cuts the run's append-only files back to their lengths at the checkpoint, so each must
// be at least that long.
void CheckFilesReach(const std::string& run, const Manifest& manifest) {
  const auto check = [](const std::string& path, uint64_t offset) {
    const bool there = FileExists(path);
    const uint64_t bytes = there ? FileSize(path) : 0;
    USER_CHECK(bytes >= offset,
               std::string("[run] a file of the run is ") +
                   (there ? "shorter than when the checkpoint was made" : "missing"),
               Named("file", path), Named("bytes", bytes), Named("bytes_needed", offset));
  };
  std::string events = "events.out.tfevents.*";
  for (const std::string& name : ListFolder(run)) {
    if (name.rfind("events.out.tfevents.", 0) == 0) events = name;
  }
  check(JoinPath(run, "metrics.jsonl"), manifest.metrics_bytes());
  check(JoinPath(run, events), manifest.events_bytes());
  check(LearnerSegmentPath(run, manifest.trace_segment()), manifest.trace_bytes());
}

// Refuses a folder that holds files of somebody else under the names of a run's files.
void CheckNothingForeign(const std::string& run) {
  for (const std::string& name : ListFolder(run)) {
    USER_CHECK(name != "metrics.jsonl" && name != "traces" && name != "config.textproto" &&
                   name != "result.json" && name.rfind("events.out.tfevents.", 0) != 0,
               "[run] the folder is not of a training run, but holds a file that a run would "
               "overwrite; move it away or name another --run folder",
               Named("file", JoinPath(run, name)));
  }
}

}  // namespace

RunDir::RunDir(const std::string& path) : path_(path) {
  USER_CHECK(!path.empty(), "[run] name a run folder with --run DIR");
  MakeFolders(path);
  lock_ = std::make_unique<FolderLock>(path);
  KILL_POINT("run.locked");
  const std::string checkpoints = JoinPath(path, "checkpoints");
  // A run makes this folder before any file, so what is there without it is not a run's.
  if (!FolderExists(checkpoints)) CheckNothingForeign(path);
  MakeFolders(checkpoints);
}

std::string RunDir::CheckpointFolder(int64_t step) const { return CheckpointPath(path_, step); }

void RunDir::Report(const std::string& name, const Error& error) {
  if (!invalid_.insert(name).second) return;
  LogWarn("[run] checkpoint " + name +
          " is not valid, so the next older one is used: " + error.message());
}

bool RunDir::Verify(const std::string& name, Manifest* manifest,
                    const std::function<void(const Found&)>& load) {
  const std::string folder = JoinPath(JoinPath(path_, "checkpoints"), name);
  try {
    *manifest = load ? ReadCheckpointManifest(folder) : VerifyCheckpoint(folder);
    CheckFilesReach(path_, *manifest);
  } catch (const Error& error) {
    Report(name, error);
    return false;
  }
  try {
    if (load) load({folder, *manifest});
  } catch (const CheckpointDamaged& error) {
    Report(name, error);
    return false;
  }
  invalid_.erase(name);
  return true;
}

std::optional<RunDir::Found> RunDir::NewestCheckpoint(
    const std::function<void(const Found&)>& load) {
  const std::vector<std::string> names = CheckpointNames(path_);
  Manifest manifest;
  for (const std::string& name : names) {
    if (Verify(name, &manifest, load)) {
      verified_ = name;
      return Found{JoinPath(JoinPath(path_, "checkpoints"), name), std::move(manifest)};
    }
  }
  USER_CHECK(names.empty(),
             "[run] no checkpoint in this folder is valid, so the run cannot resume; put back the "
             "files that the lines above name from a copy, or start anew in another folder",
             Named("folder", path_), Named("checkpoints", names.size()));
  return std::nullopt;
}

void RunDir::Tidy(int keep, int64_t keep_every) {
  const std::string folder = JoinPath(path_, "checkpoints");
  for (const std::string& name : ListFolder(folder)) {
    if (name.find(".tmp") != std::string::npos) RemoveTree(JoinPath(folder, name));
  }
  KILL_POINT("tidy.temporaries_removed");
  const std::vector<std::string> names = CheckpointNames(path_);
  Manifest manifest;
  if (names.empty()) return;
  if (names[0] != verified_ && Verify(names[0], &manifest)) verified_ = names[0];
  int kept = 0;
  for (const std::string& name : names) {
    const int64_t step = StepOf(name);
    // A step that was found bad earlier may have been written again since.
    const bool invalid = invalid_.count(name) == 1 && !Verify(name, &manifest);
    // A bad checkpoint that is newer than the last good one is left for a person to look at.
    if (invalid && (verified_.empty() || name > verified_)) continue;
    if (!invalid && (kept++ < keep || name == verified_)) continue;
    if (!invalid && keep_every > 0 && step % keep_every == 0) continue;
    const std::string aside = JoinPath(folder, name + ".old.tmp");
    RenameDurably(JoinPath(folder, name), aside);
    KILL_POINT("tidy.checkpoint_aside");
    RemoveTree(aside);
    invalid_.erase(name);
    KILL_POINT("tidy.checkpoint_removed");
  }
}

Config RunDir::StoredConfig() const {
  Config config;
  MergeTextprotoFile(File(kConfigName), &config);
  return config;
}

bool RunDir::HasConfig() const { return FileExists(File(kConfigName)); }

void RunDir::StoreConfig(const std::string& resolved, bool resuming) const {
  if (resuming && HasConfig()) {
    Config config;
    MergeTextproto(resolved, "config", &config);
    const auto stored = IdentityLines(StoredConfig()), wanted = IdentityLines(config);
    const auto differ = std::mismatch(stored.begin(), stored.end(), wanted.begin(), wanted.end());
    if (differ.first != stored.end() || differ.second != wanted.end()) {
      ThrowUser(
          "[run] this folder holds a run with another config; use the same config or another --run "
          "folder",
          Named("folder", path_),
          Named("stored_line", differ.first == stored.end() ? "(end)" : *differ.first),
          Named("line_of_this_config", differ.second == wanted.end() ? "(end)" : *differ.second));
    }
  }
  PublishFile(File(kConfigName), resolved);
}

std::string CheckpointPath(const std::string& run, int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%08ld", static_cast<long>(step));
  return JoinPath(JoinPath(run, "checkpoints"), name);
}

std::vector<int64_t> CheckpointSteps(const std::string& run) {
  std::vector<int64_t> steps;
  for (const std::string& name : CheckpointNames(run)) steps.push_back(StepOf(name));
  return steps;
}

std::string ResolveCheckpoint(const std::string& path) {
  USER_CHECK(FolderExists(path),
             "[checkpoint] there is no such folder; name a run or checkpoint folder",
             Named("folder", path));
  if (FileExists(JoinPath(path, "MANIFEST"))) {
    ReadCheckpointManifest(path);  // its files are verified when they are loaded
    return path;
  }
  for (const std::string& name : CheckpointNames(path)) {
    const std::string folder = JoinPath(JoinPath(path, "checkpoints"), name);
    try {
      VerifyCheckpoint(folder);
      return folder;
    } catch (const Error& error) {
      LogWarn("[run] a checkpoint is not valid, so the next older one is used: " + error.message());
    }
  }
  ThrowUser("[checkpoint] there is no valid checkpoint in this folder", Named("folder", path));
}

}  // namespace grouper
