// The shrunk quickstart, which tests kill at named points and start again: the result of a run, the
// points that it passes, and the states that a kill leaves. The variable GROUPER_KILL_ARGUMENTS
// replaces the command's own arguments ("--seed 3 --smoke"), so that the full quickstart can be
// tested by hand.
#pragma once

#include <iosfwd>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/program.h"

namespace grouper::testing {

// The occurrence-th time, counted from 1, that a run passes a named point.
struct KillPlace {
  std::string name;
  int occurrence = 1;
  std::string text() const { return name + ":" + std::to_string(occurrence); }
};

// Everything that a kill must not change.
struct Outcome {
  std::string weights;                   // the SHA-256 of each stage
  std::string trace_digest;              // of the RL stage
  std::string metrics;                   // the rows of all stages, without times and rates
  std::string before;                    // the evaluation before RL
  std::vector<std::string> left_behind;  // temporary files
  bool operator==(const Outcome&) const = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out);

class KillCase {
 public:
  // `name` of the run folder, which is removed first.
  explicit KillCase(const std::string& name);

  // Runs the command. With a place it is killed there, or ends well when it never passes there.
  // Returns whether it was killed. Any other end fails the test.
  bool Run(const KillPlace* place = nullptr);
  // Runs the command and sends it `signal` at the place; the program then continues from there.
  Ran RunAndSignalAt(const KillPlace& place, int signal) const;
  // As Run; also gives the places that it reached, in order.
  std::vector<KillPlace> RunAndList(const KillPlace* place = nullptr);
  Outcome outcome() const;

  void Clear() const;
  // These save the run folder as it is, and restore it.
  void Keep(const std::string& state) const;
  void Restore(const std::string& state) const;
  const std::string& run() const { return run_; }

 private:
  Ran Start(const std::vector<std::string>& environment) const;
  std::string run_;
};

// The names in KILL_POINT("...") of the source that the quickstart passes. Those of the reward
// service are tested in bad_run_test.cc, those of `grouper sample` in sample_test.cc.
std::set<std::string> KillPointsOfTheSource();

// The states from which a run is continued, and how to bring a fresh folder into them.
//   "fresh"    nothing is there
//   "ahead"    killed before the last checkpoint: all files are ahead of the newest one
//   "damaged"  finished, then one bit of the newest checkpoint flipped
std::map<std::string, std::vector<KillPlace>> PlacesByState(KillCase* run);

}  // namespace grouper::testing
