#include "rl/run_dir.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "base/error.h"
#include "base/log.h"

namespace grouper {
namespace {

// Names of published checkpoints, newest first.
std::vector<std::string> CheckpointNames(const std::string& run) {
  std::vector<std::string> names;
  for (const std::string& name : ListFolder(JoinPath(run, "checkpoints"))) {
    if (name.rfind("step-", 0) == 0 && name.find('.') == std::string::npos) names.push_back(name);
  }
  std::sort(names.rbegin(), names.rend());
  return names;
}

std::optional<RunDir::Found> Newest(const std::string& run) {
  for (const std::string& name : CheckpointNames(run)) {
    const std::string folder = JoinPath(JoinPath(run, "checkpoints"), name);
    try {
      return RunDir::Found{folder, VerifyCheckpoint(folder)};
    } catch (const Error& error) {
      LogWarn("[run] checkpoint is not valid, the next older one is used: " + error.message());
    }
  }
  return std::nullopt;
}

// `steps` may grow from one start to the next; everything else is part of the run's identity.
std::vector<std::string> ComparableLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("steps:", 0) != 0) lines.push_back(line);
  }
  return lines;
}

}  // namespace

RunDir::RunDir(const std::string& path) : path_(path) {
  USER_CHECK(!path.empty(), "[run] name a run folder with --run DIR");
  MakeFolders(path);
  lock_ = std::make_unique<FolderLock>(path);
  MakeFolders(JoinPath(path, "checkpoints"));
}

std::string RunDir::CheckpointFolder(int64_t step) const {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%08ld", static_cast<long>(step));
  return JoinPath(JoinPath(path_, "checkpoints"), name);
}

std::optional<RunDir::Found> RunDir::NewestCheckpoint() const { return Newest(path_); }

void RunDir::Tidy(int keep) const {
  const std::string folder = JoinPath(path_, "checkpoints");
  for (const std::string& name : ListFolder(folder)) {
    if (name.find(".tmp") != std::string::npos) RemoveTree(JoinPath(folder, name));
  }
  const std::vector<std::string> names = CheckpointNames(path_);
  for (size_t i = static_cast<size_t>(keep); i < names.size(); ++i) {
    RemoveTree(JoinPath(folder, names[i]));
  }
}

void RunDir::StoreConfig(const std::string& resolved, bool resuming) const {
  const std::string file = File("config.textproto");
  if (resuming && FileExists(file)) {
    const auto stored = ComparableLines(ReadFile(file, "run config", 1 << 20));
    const auto wanted = ComparableLines(resolved);
    const auto differ = std::mismatch(stored.begin(), stored.end(), wanted.begin(), wanted.end());
    if (differ.first != stored.end() || differ.second != wanted.end()) {
      ThrowUser(
          "[run] this folder holds a run with another config; use the same config or another --run "
          "folder (folder, stored line, asked-for line)",
          path_, differ.first == stored.end() ? "(end)" : *differ.first,
          differ.second == wanted.end() ? "(end)" : *differ.second);
    }
  }
  PublishFile(file, resolved);
}

std::string ResolveCheckpoint(const std::string& path) {
  USER_CHECK(FolderExists(path), "[checkpoint] no such folder; name a run or checkpoint folder",
             path);
  if (FileExists(JoinPath(path, "MANIFEST"))) {
    VerifyCheckpoint(path);
    return path;
  }
  const std::optional<RunDir::Found> found = Newest(path);
  USER_CHECK(found.has_value(), "[checkpoint] no valid checkpoint in this folder", path);
  return found->folder;
}

}  // namespace grouper
