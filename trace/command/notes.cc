#include "base/error.h"
#include "trace/command/command.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

template <typename T>
std::string Span(const std::string& name, T first, T last) {
  if (first == last) return name + " " + std::to_string(first);
  return name + "s " + std::to_string(first) + " to " + std::to_string(last);
}

}  // namespace

void PrintNotes(const TraceReader& reader, std::ostream& notes) {
  for (const TornTail& torn : reader.torn()) {
    notes << "note: " << EscapeForTerminal(torn.path)
          << " ends in an unfinished frame, which is being written or was cut by a crash; it was "
          << "read to byte " << torn.valid_bytes << " of " << torn.file_bytes << '\n';
  }
  if (reader.extent().missing_completions > 0) {
    notes << "note: " << reader.extent().missing_completions
          << " completions have no frame of their own in this trace and are shown without text\n";
  }
}

void ThrowNotInTrace(const std::string& what, TraceReader* reader) {
  reader->ReadGroups({}, [](GroupEntry&) { return true; });
  const TraceExtent& extent = reader->extent();
  if (extent.groups == 0) {
    ThrowUser(
        "[trace] " + what +
            " is not in the trace, because the trace holds no group yet; look again when the first "
            "step is done",
        Named("file", reader->segments().front()));
  }
  ThrowUser("[trace] " + what + " is not in the trace; it holds " +
            Span("step", extent.first_step, extent.last_step) + ", " +
            Span("prompt", extent.first_prompt, extent.last_prompt) + ", " +
            Span("rollout", extent.first_rollout, extent.last_rollout) +
            "; `grouper-trace ls` lists them");
}

}  // namespace grouper
