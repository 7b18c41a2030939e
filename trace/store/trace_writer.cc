#include "trace/store/trace_writer.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/io/disk_wait.h"
#include "base/io/file.h"
#include "base/kill_point.h"
#include "trace/store/stored_scores.h"

namespace grouper {
namespace {

// Maps are written in the order of their keys, so that equal content gives equal bytes.
std::string Serialize(const TraceFrame& frame) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    frame.SerializeToCodedStream(&coded);
  }
  return bytes;
}

// Checks that the file's own header is of the same run.
void CheckSameRun(const std::string& path, const TraceHeader& header) {
  RecordReader reader(path);
  std::string record;
  TraceFrame frame;
  USER_CHECK(reader.Next(&record) && frame.ParseFromString(record) && frame.has_header(),
             "[trace] the file does not open with a trace header; move it away or name another run "
             "folder",
             Named("file", path));
  const TraceHeader& there = frame.header();
  const std::string advice = "; name another run folder, or remove traces/ to start anew";
  USER_CHECK(there.format_version() == header.format_version(),
             "[trace] the run's trace has another format" + advice, Named("file", path),
             Named("format", there.format_version()),
             Named("format_of_this_program", header.format_version()));
  USER_CHECK(there.seed() == header.seed(),
             "[trace] the run's trace was written with another seed" + advice, Named("file", path),
             Named("seed_in_trace", there.seed()), Named("seed", header.seed()));
  USER_CHECK(there.group_size() == header.group_size(),
             "[trace] the run's trace was written with another group size" + advice,
             Named("file", path), Named("group_size_in_trace", there.group_size()),
             Named("group_size", header.group_size()));
}

void CheckShape(const Completion& completion) {
  const int tokens = completion.ids_size();
  const auto fits = [&](int size) { return size == tokens || size == 0; };
  CHECK(completion.rollout_log_probs_size() == tokens && fits(completion.entropies_size()) &&
            fits(completion.text_ends_size()) && fits(completion.kept_sizes_size()),
        "[trace] the arrays of a completion differ in length",
        Named("rollout_id", completion.rollout_id()), Named("ids", tokens),
        Named("rollout_log_probs", completion.rollout_log_probs_size()),
        Named("entropies", completion.entropies_size()),
        Named("text_ends", completion.text_ends_size()),
        Named("kept_sizes", completion.kept_sizes_size()));
}

void CheckShape(const Group& group) {
  const int members = group.completions_size();
  CHECK((group.scores_size() == members || group.scores_size() == 0) &&
            (group.advantages_size() == members || group.advantages_size() == 0),
        "[trace] a group does not have one score and one advantage per completion",
        Named("prompt", group.prompt().ordinal()), Named("completions", members),
        Named("scores", group.scores_size()), Named("advantages", group.advantages_size()));
}

// Copies the group without the arrays, which are in the frames of its completions.
void ReduceGroup(const Group& group, Group* reduced) {
  *reduced->mutable_prompt() = group.prompt();
  for (const Completion& completion : group.completions()) {
    Completion* member = reduced->add_completions();
    member->set_rollout_id(completion.rollout_id());
    member->set_index(completion.index());
  }
  *reduced->mutable_scores() = group.scores();
  MakeScoresStorable(reduced->mutable_scores());
  *reduced->mutable_advantages() = group.advantages();
  reduced->set_reward_mean(group.reward_mean());
  reduced->set_reward_std(group.reward_std());
  reduced->set_no_signal(group.no_signal());
  reduced->set_prompt_experts(group.prompt_experts());
  reduced->set_expert_id_bytes(group.expert_id_bytes());
  reduced->set_dropped(group.dropped());
  *reduced->mutable_kl_penalties() = group.kl_penalties();
}

}  // namespace

TraceWriter::TraceWriter(const std::string& run_folder, TraceHeader header,
                         TraceWriterOptions options)
    : run_folder_(run_folder),
      header_(std::move(header)),
      segment_bytes_(options.segment_bytes),
      wait_(options.wait) {
  header_.set_format_version(kTraceFormatVersion);
  const std::string folder = FolderOf(LearnerSegmentPath(run_folder_));
  MakeFolders(folder);
  const std::vector<TraceSegment> there = SegmentsIn(folder);
  const uint32_t segment = options.keep    ? options.keep->segment
                           : there.empty() ? 0
                                           : there.back().number;
  const std::string path = LearnerSegmentPath(run_folder_, segment);
  const uint64_t keep =
      RecordResumeOffset(path, options.keep ? static_cast<int64_t>(options.keep->bytes) : -1);
  if (keep > 0) {
    CheckSameRun(path, header_);
    end_segment_ = options.keep.has_value();
  } else if (!options.keep && there.size() > 1) {
    // A kill came before the header of the last segment was whole, so the one before it is asked.
    CheckSameRun(there[there.size() - 2].path, header_);
  }
  RemoveSegmentsAfter(segment);
  OpenSegment(segment, keep);
}

// The last segment goes first, so that a kill leaves the trace shorter but never with a gap. The
// folder is synced before a new segment is made: else a power cut could bring an old one back.
void TraceWriter::RemoveSegmentsAfter(uint32_t segment) {
  const std::string folder = FolderOf(LearnerSegmentPath(run_folder_));
  std::vector<TraceSegment> there = SegmentsIn(folder);
  bool removed = false;
  for (; !there.empty() && there.back().number > segment; there.pop_back()) {
    RemoveTree(there.back().path);
    removed = true;
    KILL_POINT("trace.segment_removed");
  }
  if (removed) SyncFolder(folder);
}

void TraceWriter::OpenSegment(uint32_t segment, uint64_t keep_bytes) {
  segment_ = segment;
  path_ = LearnerSegmentPath(run_folder_, segment);
  DoWaiting(wait_, [&] {
    writer_ = std::make_unique<RecordWriter>(path_, static_cast<int64_t>(keep_bytes), wait_);
  });
  synced_bytes_ = 0;
  KILL_POINT("trace.opened");
  if (keep_bytes == 0) {
    TraceFrame frame;
    *frame.mutable_header() = header_;
    Append(frame);
  }
  Sync();
  KILL_POINT("trace.header_synced");
  SyncFolder(FolderOf(path_));
}

void TraceWriter::AppendStep(int64_t step, std::span<const Group> groups) {
  if (end_segment_ || writer_->offset_bytes() >= segment_bytes_) {
    Sync();
    KILL_POINT("trace.segment_ended");
    OpenSegment(segment_ + 1, 0);
    end_segment_ = false;
  }
  const uint64_t begin = writer_->offset_bytes();
  try {
    AppendGroups(step, groups);
  } catch (...) {
    writer_->CutBack(begin);
    throw;
  }
}

void TraceWriter::AppendGroups(int64_t step, std::span<const Group> groups) {
  for (const Group& group : groups) {
    CheckShape(group);
    for (const Completion& completion : group.completions()) {
      CheckShape(completion);
      TraceFrame frame;
      frame.mutable_completion()->set_step(step);
      frame.mutable_completion()->set_prompt_ordinal(group.prompt().ordinal());
      *frame.mutable_completion()->mutable_completion() = completion;
      Append(frame);
      KILL_POINT("trace.completion_appended");
    }
    TraceFrame frame;
    ReduceGroup(group, frame.mutable_group());
    frame.mutable_group()->set_step(step);
    Append(frame);
    writer_->Flush();
    KILL_POINT("trace.group_appended");
  }
  Sync();
  KILL_POINT("trace.step_synced");
}

void TraceWriter::AppendStepRecord(const StepRecord& record) {
  TraceFrame frame;
  *frame.mutable_step() = record;
  Append(frame);
  writer_->Flush();
  KILL_POINT("trace.step_recorded");
}

void TraceWriter::Sync() {
  if (writer_->offset_bytes() == synced_bytes_) return;
  writer_->Sync();
  synced_bytes_ = writer_->offset_bytes();
}

void TraceWriter::Append(const TraceFrame& frame) { writer_->Append(Serialize(frame)); }

}  // namespace grouper
