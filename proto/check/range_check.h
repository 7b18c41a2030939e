// Checks every number of a message against the range that its schema declares (proto/range.proto),
// by reflection: a new field needs only its option. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace grouper {

// A value that is no setting.
struct RangeFault {
  // The fields that lead to it, each with its index, which is -1 where the field is not repeated.
  std::vector<std::pair<const google::protobuf::FieldDescriptor*, int>> steps;
  std::string path;   // "reward.rubric[1].component[0].weight", counted from 0
  std::string value;  // "nan", "-1"
  std::string words;  // "must be from 0 to 1"
};

// The first set field, in order of field numbers, that is out of its range. A number whose field
// has no option passes.
std::optional<RangeFault> FindRangeFault(const google::protobuf::Message& message);

// kUser, naming the setting, its value and its range, when FindRangeFault finds one. `prefix` is
// the path of the message itself: "policy.".
void CheckRanges(const google::protobuf::Message& message, const std::string& prefix = "");

// "from 0 to 1", "above 0 and below 1", "0, or from 2 to 100", "any number"; empty when the field
// has no range.
std::string RangeWords(const google::protobuf::FieldDescriptor& field);

// True when a person writes a number into this field.
bool IsNumeric(const google::protobuf::FieldDescriptor& field);

}  // namespace grouper
