#include "tests/e2e/durability/kill_case.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/digest.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"

namespace grouper::testing {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr const char* kStages[] = {"base", "sft", "rl"};

std::string Text(const std::string& path) {
  return FileExists(path) ? ReadFile(path, "test file") : "(none)";
}

// The rows in order, each with its numbers as they are written. What a clock or a resume may change
// is left out.
std::string RowsOf(const std::string& file) {
  std::string text;
  JsonLinesReader rows(file, "metrics");
  for (Json row; rows.Next(&row);) {
    for (const auto& [key, value] : row.members) {
      if (key.rfind("time.", 0) == 0 || key.rfind("rate.", 0) == 0) continue;
      if (key == "reward.reused") continue;
      char number[64];
      std::snprintf(number, sizeof(number), "%s=%.17g ", key.c_str(), value.number);
      text += number;
    }
    text += "\n";
  }
  return text;
}

std::vector<KillPlace> PlacesOf(const std::string& log) {
  std::vector<KillPlace> places;
  std::map<std::string, int> count;
  std::istringstream in(Text(log));
  for (std::string name; std::getline(in, name);) {
    if (name.rfind("score.", 0) == 0) continue;  // of the reward service, a process of its own
    places.push_back({name, ++count[name]});
  }
  return places;
}

}  // namespace

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << outcome.weights << "traces " << outcome.trace_digest << "metrics "
       << Sha256Hex(outcome.metrics) << " before " << Sha256Hex(outcome.before);
  for (const std::string& path : outcome.left_behind) *out << " left behind: " << path;
}

KillCase::KillCase(const std::string& name) : run_(FreshFolder(name)) {}

Ran KillCase::Start(const std::vector<std::string>& environment) const {
  const char* wanted = std::getenv("GROUPER_KILL_ARGUMENTS");
  std::istringstream in(wanted != nullptr ? wanted : "--smoke --seed 3 --threads 1");
  std::vector<std::string> arguments = {"quickstart", "--run", run_, "--json"};
  for (std::string argument; in >> argument;) arguments.push_back(argument);
  return RunProgram("grouper", arguments, environment);
}

bool KillCase::Run(const KillPlace* place) {
  const Ran ran =
      Start(place != nullptr ? Strings{"GROUPER_KILL_POINT=" + place->text()} : Strings{});
  const bool killed = ran.code == 128 + SIGKILL && place != nullptr;
  EXPECT_TRUE(killed || ran.code == 0) << ran.code << "\n" << ran.err;
  return killed;
}

Ran KillCase::RunAndSignalAt(const KillPlace& place, int signal) const {
  return Start(
      {"GROUPER_KILL_POINT=" + place.text(), "GROUPER_KILL_SIGNAL=" + std::to_string(signal)});
}

std::vector<KillPlace> KillCase::RunAndList(const KillPlace* place) {
  const std::string log = run_ + ".log";
  std::error_code ignored;
  fs::remove(log, ignored);
  Strings environment = {"GROUPER_KILL_LOG=" + log};
  if (place != nullptr) environment.push_back("GROUPER_KILL_POINT=" + place->text());
  const Ran ran = Start(environment);
  EXPECT_EQ(ran.code, place != nullptr ? 128 + SIGKILL : 0) << ran.err;
  return PlacesOf(log);
}

Outcome KillCase::outcome() const {
  Outcome outcome;
  for (const char* stage : kStages) {
    const std::string folder = JoinPath(run_, stage);
    outcome.weights += Text(JoinPath(folder, "result.json"));
    outcome.metrics += RowsOf(JoinPath(folder, "metrics.jsonl"));
  }
  outcome.before = Text(JoinPath(run_, "before.json"));
  const Ran digest = RunProgram("grouper-trace", {"digest", JoinPath(run_, "rl")});
  EXPECT_EQ(digest.code, 0) << digest.err;
  outcome.trace_digest = digest.out;
  for (const auto& entry : fs::recursive_directory_iterator(run_)) {
    const std::string name = entry.path().filename();
    if (name.find(".tmp") != std::string::npos || name == "kept-verdicts") {
      outcome.left_behind.push_back(entry.path());
    }
  }
  return outcome;
}

void KillCase::Clear() const {
  RemoveTree(run_);
  MakeFolders(run_);
}

void KillCase::Keep(const std::string& state) const {
  RemoveTree(run_ + "." + state);
  fs::copy(run_, run_ + "." + state, fs::copy_options::recursive);
}

void KillCase::Restore(const std::string& state) const {
  RemoveTree(run_);
  fs::copy(run_ + "." + state, run_, fs::copy_options::recursive);
}

std::set<std::string> KillPointsOfTheSource() {
  std::set<std::string> names;
  for (const char* floor : {"base", "proto", "kernels", "policy", "trace", "rollout", "rl"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(JoinPath(GROUPER_SOURCE_FOLDER, floor))) {
      if (entry.path().extension() != ".cc") continue;
      const std::string text = ReadFile(entry.path(), "source"), mark = "KILL_POINT(\"";
      for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
        const size_t begin = at + mark.size();
        const std::string name = text.substr(begin, text.find('"', begin) - begin);
        if (name.rfind("sample.", 0) != 0) names.insert(name);
      }
    }
  }
  return names;
}

std::map<std::string, std::vector<KillPlace>> PlacesByState(KillCase* run) {
  std::map<std::string, std::vector<KillPlace>> places;
  run->Clear();
  run->Keep("fresh");
  places["fresh"] = run->RunAndList();

  const std::string newest = JoinPath(run->run(), "rl/checkpoints");
  const std::vector<std::string> names = ListFolder(newest);
  EXPECT_GE(names.size(), 2u);
  const std::string model = JoinPath(JoinPath(newest, names.back()), "model.safetensors");
  std::string bytes = ReadFile(model, "model");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  fs::remove(model);
  std::ofstream(model, std::ios::binary) << bytes;
  run->Keep("damaged");
  places["damaged"] = run->RunAndList();

  run->Clear();
  const KillPlace last{"checkpoint.begun",
                       static_cast<int>(std::count_if(
                           places["fresh"].begin(), places["fresh"].end(),
                           [](const KillPlace& p) { return p.name == "checkpoint.begun"; }))};
  run->RunAndList(&last);
  run->Keep("ahead");
  places["ahead"] = run->RunAndList();
  return places;
}

}  // namespace grouper::testing
