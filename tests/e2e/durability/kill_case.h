// The shrunk quickstart, killed at named points and started again: what a run came to, which points
// it passes, and the states that a kill leaves behind. GROUPER_KILL_ARGUMENTS replaces the
// command's own arguments ("--seed 3 --smoke"), so that the full quickstart can be tortured by
// hand.
#pragma once

#include <iosfwd>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/program.h"

namespace grouper::testing {

// The occurrence-th time (from 1) that a run comes by a named point.
struct KillPlace {
  std::string name;
  int occurrence = 1;
  std::string text() const { return name + ":" + std::to_string(occurrence); }
};

// Everything that a kill must not change.
struct Outcome {
  std::string weights;                   // SHA-256, of each stage
  std::string trace_digest;              // of the RL stage
  std::string metrics;                   // rows of all stages, times and rates left out
  std::string before;                    // the evaluation before RL
  std::vector<std::string> left_behind;  // temporary files
  bool operator==(const Outcome&) const = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out);

class KillCase {
 public:
  // `name` of the run folder, which is removed first.
  explicit KillCase(const std::string& name);

  // Runs the command. With a place it is killed there, or ends well when it never comes by.
  // Returns whether it was killed; fails the test on any other end.
  bool Run(const KillPlace* place = nullptr);
  // Runs it and sends `signal` to it at the place, from which it goes on.
  Ran RunAndSignalAt(const KillPlace& place, int signal) const;
  // As Run, and the places that it came by, in order.
  std::vector<KillPlace> RunAndList(const KillPlace* place = nullptr);
  Outcome outcome() const;

  void Clear() const;
  // Keeps the run folder as it is; brings it back.
  void Keep(const std::string& state) const;
  void Restore(const std::string& state) const;
  const std::string& run() const { return run_; }

 private:
  Ran Start(const std::vector<std::string>& environment) const;
  std::string run_;
};

// Names in KILL_POINT("...") of the product's source that the quickstart comes by: those of the
// reward service are killed in bad_run_test.cc, those of `grouper sample` in sample_test.cc.
std::set<std::string> KillPointsOfTheSource();

// The states from which a run goes on: what to do to a fresh folder to get there.
//   "fresh"    nothing is there
//   "ahead"    killed before the last checkpoint: all files are ahead of the newest one
//   "damaged"  finished, then one bit of the newest checkpoint flipped
std::map<std::string, std::vector<KillPlace>> PlacesByState(KillCase* run);

}  // namespace grouper::testing
