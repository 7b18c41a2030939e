#include "trace/store/digest.h"

#include "base/io/json.h"
#include "trace/command/command.h"

namespace grouper {

void RunDigest(const DigestOptions& options, std::ostream& out, std::ostream& notes) {
  TraceReader reader(options.run);
  TraceDigest digest;
  reader.ReadGroups({}, [&](GroupEntry& entry) {
    digest.Add(entry.group);
    return true;
  });
  const std::string hex = digest.FinishHex();
  if (options.json) {
    JsonWriter json;
    json.BeginObject().Key("digest").Value(hex).Key("groups").Value(digest.groups());
    json.Key("completions").Value(digest.completions()).Key("tokens").Value(digest.tokens());
    json.Key("torn").Value(!reader.torn().empty());
    out << json.EndObject().text() << '\n';
  } else {
    out << hex << '\n';
  }
  PrintNotes(reader, notes);
}

}  // namespace grouper
