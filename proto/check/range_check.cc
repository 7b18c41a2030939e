#include "proto/check/range_check.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <cstdlib>
#include <sstream>
#include <tuple>

#include "base/error.h"
#include "proto/range.pb.h"

namespace grouper {
namespace {

namespace pb = google::protobuf;
using Type = pb::FieldDescriptor::CppType;

// A number of a message, exact as text and near enough for a comparison: the ends of a range are
// small integers, powers of two or short fractions.
struct Number {
  double value;
  std::string text;
};

template <typename T>
Number NumberOf(T value) {
  std::ostringstream text;
  text.precision(17);
  text << value;
  return {static_cast<double>(value), text.str()};
}

// The shortest text that reads as the same number.
std::string Short(double value) {
  for (int digits = 1; digits < 17; ++digits) {
    std::ostringstream text;
    text.precision(digits);
    text << value;
    if (std::strtod(text.str().c_str(), nullptr) == value) return text.str();
  }
  return NumberOf(value).text;
}

// An end of a range: integers in full up to 15 digits.
std::string End(double value) {
  if (value != std::trunc(value) || std::fabs(value) >= 1e15) return Short(value);
  std::ostringstream text;
  text << static_cast<int64_t>(value);
  return text.str();
}

Number ReadDouble(double value) {
  return {value, std::isfinite(value) ? Short(value) : NumberOf(value).text};
}

// The value of a numeric field; `index` is -1 for a field that is not repeated.
Number Read(const pb::Message& message, const pb::FieldDescriptor* field, int index) {
  const pb::Reflection& r = *message.GetReflection();
  const bool one = index < 0;
  switch (field->cpp_type()) {
    case Type::CPPTYPE_INT32:
      return NumberOf(one ? r.GetInt32(message, field) : r.GetRepeatedInt32(message, field, index));
    case Type::CPPTYPE_INT64:
      return NumberOf(one ? r.GetInt64(message, field) : r.GetRepeatedInt64(message, field, index));
    case Type::CPPTYPE_UINT32:
      return NumberOf(one ? r.GetUInt32(message, field)
                          : r.GetRepeatedUInt32(message, field, index));
    case Type::CPPTYPE_UINT64:
      return NumberOf(one ? r.GetUInt64(message, field)
                          : r.GetRepeatedUInt64(message, field, index));
    case Type::CPPTYPE_FLOAT:
      return ReadDouble(one ? r.GetFloat(message, field)
                            : r.GetRepeatedFloat(message, field, index));
    case Type::CPPTYPE_DOUBLE:
      return ReadDouble(one ? r.GetDouble(message, field)
                            : r.GetRepeatedDouble(message, field, index));
    default:
      ThrowInternal("[config] a field is not numeric", Named("field", field->full_name()));
  }
}

bool Holds(const ValueRange& range, double value) {
  if (!std::isfinite(value)) return false;
  if (range.any() || (range.or_zero() && value == 0)) return true;
  return (!range.has_min() || value >= range.min()) &&
         (!range.has_above() || value > range.above()) &&
         (!range.has_max() || value <= range.max()) &&
         (!range.has_below() || value < range.below());
}

// What is wrong with a value that is no message: first its text, then what it must be.
std::optional<std::pair<std::string, std::string>> FaultOf(const pb::Message& message,
                                                           const pb::FieldDescriptor* field,
                                                           int index) {
  if (!IsNumeric(*field) || !field->options().HasExtension(within)) return std::nullopt;
  const Number number = Read(message, field, index);
  if (Holds(field->options().GetExtension(within), number.value)) return std::nullopt;
  return std::pair(number.text, "must be " + RangeWords(*field));
}

bool Find(const pb::Message& message, RangeFault* fault) {
  const pb::Reflection& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    const bool repeated = field->is_repeated();
    const int count = repeated ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int index = repeated ? i : -1;
      fault->steps.emplace_back(field, index);
      if (field->message_type() != nullptr) {
        if (Find(repeated ? reflection.GetRepeatedMessage(message, field, i)
                          : reflection.GetMessage(message, field),
                 fault)) {
          return true;
        }
      } else if (auto found = FaultOf(message, field, index)) {
        std::tie(fault->value, fault->words) = std::move(*found);
        return true;
      }
      fault->steps.pop_back();
    }
  }
  return false;
}

}  // namespace

bool IsNumeric(const pb::FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case Type::CPPTYPE_INT32:
    case Type::CPPTYPE_INT64:
    case Type::CPPTYPE_UINT32:
    case Type::CPPTYPE_UINT64:
    case Type::CPPTYPE_FLOAT:
    case Type::CPPTYPE_DOUBLE:
      return true;
    default:
      return false;
  }
}

std::string RangeWords(const pb::FieldDescriptor& field) {
  if (!field.options().HasExtension(within)) return {};
  const ValueRange& range = field.options().GetExtension(within);
  if (range.any()) return "any number";
  std::string words = range.or_zero() ? "0, or " : "";
  words += range.has_min() ? "from " + End(range.min()) : "above " + End(range.above());
  words += range.has_below() ? " and below " + End(range.below())
                             : (range.has_min() ? " to " : " and at most ") + End(range.max());
  return words;
}

std::optional<RangeFault> FindRangeFault(const pb::Message& message) {
  RangeFault fault;
  if (!Find(message, &fault)) return std::nullopt;
  for (const auto& [field, index] : fault.steps) {
    fault.path += (fault.path.empty() ? "" : ".") + field->name();
    if (index >= 0) fault.path += "[" + std::to_string(index) + "]";
  }
  return fault;
}

void CheckRanges(const pb::Message& message, const std::string& prefix) {
  const std::optional<RangeFault> fault = FindRangeFault(message);
  if (!fault) return;
  const std::string path = prefix + fault->path;
  ThrowUser("[config] " + path + " " + fault->words + "; correct this setting",
            Named(path.c_str(), fault->value));
}

}  // namespace grouper
