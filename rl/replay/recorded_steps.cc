#include "rl/replay/recorded_steps.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace grouper {
namespace {

int64_t StepOf(const TraceFrame& frame) {
  if (frame.has_completion()) return frame.completion().step();
  if (frame.has_group()) return frame.group().step();
  return frame.step().step();
}

}  // namespace

RecordedSteps::RecordedSteps(const std::string& run) : reader_(run) {
  TraceFrame frame;
  while (reader_.Next(&frame)) {
    if (!frame.has_step()) continue;
    if (last_ < first_) first_ = frame.step().step();
    last_ = frame.step().step();
  }
  reader_.Rewind();
}

RecordedStep RecordedSteps::Read(int64_t step) {
  RecordedStep recorded;
  recorded.step = step;
  std::map<uint64_t, Completion> completions;  // of the group that comes next
  bool ended = false;
  TraceFrame frame;
  for (;;) {
    if (ahead_) {
      frame = std::move(*ahead_);
      ahead_.reset();
    } else if (!reader_.Next(&frame)) {
      break;
    }
    if (frame.has_header() || StepOf(frame) < step) continue;
    if (StepOf(frame) > step) {
      if (frame.has_completion() && frame.completion().completion().spans_size() > 0) {
        recorded.next_weights_digest = frame.completion().completion().spans(0).weights_digest();
      }
      ahead_ = std::move(frame);
      break;
    }
    if (frame.has_completion()) {
      Completion* completion = frame.mutable_completion()->mutable_completion();
      completions[completion->rollout_id()] = std::move(*completion);
    } else if (frame.has_group()) {
      for (Completion& member : *frame.mutable_group()->mutable_completions()) {
        const auto found = completions.find(member.rollout_id());
        if (found != completions.end()) member = std::move(found->second);
      }
      completions.clear();
      recorded.groups.push_back(std::move(*frame.mutable_group()));
    } else {
      recorded.end = std::move(*frame.mutable_step());
      ended = true;
    }
  }
  USER_CHECK(ended, "[trace] a step has gone from the record: the run was set back; try again",
             step);
  return recorded;
}

}  // namespace grouper
