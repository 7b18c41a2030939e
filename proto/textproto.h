// Textproto files into proto2 messages: strict, with line and column, merged left to right; and
// assignments in the form --set a.b=c.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace grouper {

// Merges a file into message; kUser "path:line:column: words" (an unknown field names its nearest
// known one: did you mean), also for a number out of the range of its field. Files up to 1 MiB.
void MergeTextprotoFile(const std::string& path, google::protobuf::Message* message);
// The same for text, without the ranges; messages show `where` in place of the path.
void MergeTextproto(std::string_view text, const std::string& where,
                    google::protobuf::Message* message);
// "a.b=c": literal text for string fields, textproto for others; a message field takes "{ ... }",
// merged into what is there. A repeated field is replaced by the value ("reward.addresses=host:1");
// several values: "a.b=[1, 2]", texts in quotes; none: "a.b=". The message is left as it was on an
// error. kUser names the setting, the part that is unknown and the nearest known name.
void SetField(const std::string& assignment, google::protobuf::Message* message);
// All assignments of a command line, from left to right. The first one of a repeated field replaces
// what the message holds; further ones of the same field add to it, and "a.b=" empties it again.
void SetFields(std::span<const std::string> assignments, google::protobuf::Message* message);

// Text form with all set fields, in order of field number: the same message gives the same bytes.
// `with_defaults` also writes unset scalar fields of present messages with their declared defaults.
std::string ToTextproto(const google::protobuf::Message& message, bool with_defaults = false);

}  // namespace grouper
