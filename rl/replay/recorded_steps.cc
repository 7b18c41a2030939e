#include "rl/replay/recorded_steps.h"

#include <utility>

#include "base/error.h"
#include "trace/store/completion_join.h"

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
  CompletionJoin join;
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
      join.Add(frame.mutable_completion());
    } else if (frame.has_group()) {
      join.Join(frame.mutable_group());
      recorded.groups.push_back(std::move(*frame.mutable_group()));
    } else {
      recorded.end = std::move(*frame.mutable_step());
      ended = true;
    }
  }
  USER_CHECK(ended,
             "[trace] a step is no longer in the trace, because the run was set back; try again",
             Named("step", step));
  return recorded;
}

}  // namespace grouper
