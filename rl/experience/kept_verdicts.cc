#include "rl/experience/kept_verdicts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/record_file.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "proto/textproto.h"
#include "rl/experience/score_item.h"
#include "trace/store/completion_join.h"
#include "trace/store/segment.h"

namespace grouper {
namespace {

// The rubrics under which the trace's verdicts were given; none when its header cannot be read.
std::map<std::string, Rubric> RubricsOf(const std::string& segment) {
  std::map<std::string, Rubric> rubrics;
  RecordReader reader(segment);
  std::string record;
  TraceFrame frame;
  if (!reader.Next(&record) || !frame.ParseFromString(record) || !frame.has_header()) return {};
  try {
    Config config;
    MergeTextproto(frame.header().resolved_config(), segment, &config);
    for (const Rubric& rubric : config.reward().rubric()) rubrics[rubric.name()] = rubric;
  } catch (const Error& error) {
    LogWarn("[run] the verdicts of the trace are not kept, because its config cannot be read: " +
            error.message());
  }
  return rubrics;
}

}  // namespace

void KeptVerdicts::Add(KeptVerdict verdict) {
  by_rollout_[verdict.rollout_id()] = std::move(verdict);
}

void KeptVerdicts::AddSegment(const std::string& segment, uint64_t from, int64_t first_step) {
  const std::map<std::string, Rubric> rubrics = RubricsOf(segment);
  RecordReader reader(segment, from);
  CompletionJoin join;
  std::string record;
  TraceFrame frame;
  while (reader.Next(&record) && frame.ParseFromString(record)) {
    if (frame.has_completion()) join.Add(frame.mutable_completion());
    if (!frame.has_group()) continue;
    const std::vector<int> missing = join.Join(frame.mutable_group());
    const Group& group = frame.group();
    const auto rubric = rubrics.find(group.prompt().rubric());
    if (rubric == rubrics.end() || group.step() < first_step) continue;
    if (group.scores_size() != group.completions_size()) continue;
    for (int i = 0; i < group.scores_size(); ++i) {
      if (std::binary_search(missing.begin(), missing.end(), i)) continue;
      const Completion& completion = group.completions(i);
      KeptVerdict verdict;
      verdict.set_step(group.step());
      verdict.set_rollout_id(completion.rollout_id());
      verdict.set_item_sha256(
          ScoreItemDigest(rubric->second, ScoreItemOf(group.prompt(), completion, "")));
      *verdict.mutable_score() = group.scores(i);
      Add(std::move(verdict));
      from_trace_ = true;
    }
  }
}

void KeptVerdicts::AddFile(int64_t first_step) {
  RecordReader reader(path_);
  std::string record;
  KeptVerdict verdict;
  bool whole = true;
  while (reader.Next(&record) && (whole = verdict.ParseFromString(record))) {
    if (verdict.step() >= first_step) Add(verdict);
  }
  if (!whole || reader.torn()) {
    LogWarn("[run] " + path_ + " is damaged after " + std::to_string(size()) +
            " verdicts; the other completions are judged again");
  }
}

// The file is published whole: after a kill the older one is still there, and the trace has not
// been cut back yet.
void KeptVerdicts::Store(DiskWait* wait) const {
  const std::string next = path_ + ".tmp";
  wait->Do([&] {
    RecordWriter writer(next, 0);
    for (const auto& [id, verdict] : by_rollout_) writer.Append(verdict.SerializeAsString());
    writer.Sync();
  });
  KILL_POINT("verdicts.written");
  RenameDurably(next, path_);
  KILL_POINT("verdicts.kept");
}

KeptVerdicts KeptVerdicts::Keep(const std::string& run_folder, const TracePosition& from,
                                int64_t first_step, DiskWait* wait) {
  KeptVerdicts kept;
  kept.path_ = JoinPath(JoinPath(run_folder, "traces"), "kept-verdicts");
  if (FileExists(kept.path_)) kept.AddFile(first_step);
  for (const TraceSegment& segment : SegmentsIn(FolderOf(LearnerSegmentPath(run_folder)))) {
    if (segment.number < from.segment) continue;
    kept.AddSegment(segment.path, segment.number == from.segment ? from.bytes : 0, first_step);
  }
  KILL_POINT("verdicts.read");
  if (kept.by_rollout_.empty() && FileExists(kept.path_)) RemoveTree(kept.path_);  // all passed
  if (kept.from_trace_) kept.Store(wait);
  return kept;
}

bool KeptVerdicts::Fill(const Rubric& rubric, Group* group) const {
  std::vector<const reward::v1::ScoreResult*> scores;
  for (const Completion& completion : group->completions()) {
    const auto found = by_rollout_.find(completion.rollout_id());
    if (found == by_rollout_.end()) return false;
    const std::string digest =
        ScoreItemDigest(rubric, ScoreItemOf(group->prompt(), completion, ""));
    if (found->second.item_sha256() != digest) return false;
    scores.push_back(&found->second.score());
  }
  group->clear_scores();
  for (const reward::v1::ScoreResult* score : scores) *group->add_scores() = *score;
  return true;
}

void KeptVerdicts::Passed(int64_t steps) {
  if (path_.empty()) return;
  for (auto it = by_rollout_.begin(); it != by_rollout_.end();) {
    it = it->second.step() < steps ? by_rollout_.erase(it) : std::next(it);
  }
  if (by_rollout_.empty() && FileExists(path_)) RemoveTree(path_);
  KILL_POINT("verdicts.passed");
}

}  // namespace grouper
