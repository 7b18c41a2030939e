// Words for a name that a schema does not know: the nearest known name, else all of them. Pure
// functions over descriptors; no thread rule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Descriptor;
class EnumDescriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace grouper {

// "a, b, c".
std::string JoinNames(const std::vector<std::string>& names);
std::vector<std::string> FieldNames(const google::protobuf::Descriptor& type);
std::vector<std::string> ValueNames(const google::protobuf::EnumDescriptor& type);

// The known name nearest to `name`, empty when none is near (more than a third of it is different).
std::string NearestName(std::string_view name, const std::vector<std::string>& known);

// `unknown field "stpes" of Config; did you mean "steps"?` A field of this name in a message below
// is named with its path.
std::string UnknownField(const std::string& name, const google::protobuf::Descriptor& type);
// `"GRO" is not a value of kind; it takes GRPO, CENTERED; did you mean GRPO?`
std::string UnknownValue(const std::string& value, const std::string& field,
                         const google::protobuf::EnumDescriptor& type);
// The first enum field called `name` in `type` or below it, nullptr when there is none.
const google::protobuf::FieldDescriptor* FindEnumField(const google::protobuf::Descriptor& type,
                                                       const std::string& name, int depth = 0);

}  // namespace grouper
