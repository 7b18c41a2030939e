#include "proto/textproto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/io/file.h"
#include "base/utf8.h"
#include "proto/check/range_check.h"
#include "proto/did_you_mean.h"

namespace grouper {
namespace {

namespace pb = google::protobuf;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;
constexpr int kMaxDepth = 32;

// The text between a pair of quotes of a parser's message; the first pair is 0.
std::string Quoted(std::string_view words, int which) {
  size_t begin = 0;
  for (int i = 0; i < 2 * which + 1; ++i) {
    begin = words.find('"', begin);
    if (begin == std::string_view::npos) return {};
    ++begin;
  }
  const size_t end = words.find('"', begin);
  return std::string(words.substr(begin, end == std::string_view::npos ? end : end - begin));
}

struct ParseFault {
  int line = 0;    // from 0, -1 when unknown
  int column = 0;  // from 0
  std::string words;
};

class FirstFault final : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& words) override {
    if (!fault_.has_value()) fault_ = ParseFault{line, column, words};
  }
  const std::optional<ParseFault>& fault() const { return fault_; }

 private:
  std::optional<ParseFault> fault_;
};

using Places = pb::TextFormat::ParseInfoTree;  // where each field of a text was read

// Parses text as a whole message, in which a singular field may be set only once.
std::optional<ParseFault> Parse(std::string_view text, pb::Message* message,
                                Places* places = nullptr) {
  FirstFault faults;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&faults);
  if (places != nullptr) parser.WriteLocationsTo(places);
  parser.AllowPartialMessage(true);
  parser.SetRecursionLimit(kMaxDepth);
  pb::io::ArrayInputStream input(text.data(), static_cast<int>(text.size()));
  if (parser.Parse(&input, message) && !faults.fault().has_value()) return std::nullopt;
  return faults.fault().value_or(ParseFault{-1, 0, "it cannot be read"});
}

// What a fault says to a person.
struct Explanation {
  std::string words;
  bool complete = false;  // says what is right; else the line is worth seeing
  std::string name;       // what the parser had just read, empty when it stopped before it
};

// The parser's message in our words; `root` is the type that was parsed.
Explanation Explain(const std::string& words, const pb::Descriptor& root) {
  if (words.find("has no field named") != std::string::npos) {
    const pb::Descriptor* type = root.file()->pool()->FindMessageTypeByName(Quoted(words, 0));
    const std::string name = Quoted(words, 1);
    return {UnknownField(name, type != nullptr ? *type : root), true, name};
  }
  if (words.rfind("Unknown enumeration value", 0) == 0) {
    const std::string name = Quoted(words, 1), value = Quoted(words, 0);
    const pb::FieldDescriptor* field = FindEnumField(root, name);
    if (field != nullptr) return {UnknownValue(value, name, *field->enum_type()), true, value};
  }
  if (words.find("is specified multiple times") != std::string::npos) {
    const std::string name = Quoted(words, 0);
    return {"the field \"" + name + "\" is set twice; keep one", true, name};
  }
  return {Excerpt(words, 200), false, ""};  // the parser quotes the input
}

// The fault's place in text; the tokenizer counts a tab up to the next multiple of eight columns.
size_t OffsetOf(std::string_view text, const ParseFault& fault) {
  size_t at = 0;
  for (int line = 0; line < fault.line && at < text.size(); ++line) {
    at = std::min(text.find('\n', at), text.size() - 1) + 1;
  }
  for (int column = 0; column < fault.column && at < text.size(); ++at) {
    column += text[at] == '\t' ? 8 - column % 8 : 1;
  }
  return at;
}

// The parser tells the place of what follows `name`: moves the fault to the name itself.
void MoveToName(std::string_view text, const std::string& name, ParseFault* fault) {
  const size_t offset = OffsetOf(text, *fault);
  const size_t found = name.empty() ? std::string_view::npos : text.substr(0, offset).rfind(name);
  if (found == std::string_view::npos) return;
  fault->line = static_cast<int>(std::count(text.begin(), text.begin() + found, '\n'));
  fault->column = 0;
  for (size_t at = text.substr(0, found).rfind('\n') + 1; at < found; ++at) {
    fault->column += text[at] == '\t' ? 8 - fault->column % 8 : 1;
  }
}

// ` in "steps: abc"`: the line of a fault, as far as it can be shown.
std::string ShownLine(std::string_view text, int line) {
  text.remove_prefix(OffsetOf(text, {line, 0, ""}));
  text = text.substr(0, text.find('\n'));
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return " in \"" + Excerpt(text.substr(begin), 80) + "\"";
}

// Path of the first text in message that is not UTF-8 ("data.train"), empty when there is none.
// Such a text could not be stored in a trace.
std::string BadText(const pb::Message& message) {
  const pb::Reflection& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> set;
  reflection.ListFields(message, &set);
  for (const pb::FieldDescriptor* field : set) {
    const bool is_text = field->type() == pb::FieldDescriptor::TYPE_STRING;
    if (!is_text && field->message_type() == nullptr) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (is_text) {
        const std::string text = field->is_repeated()
                                     ? reflection.GetRepeatedString(message, field, i)
                                     : reflection.GetString(message, field);
        if (!IsUtf8(text)) return field->name();
        continue;
      }
      const std::string below =
          BadText(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                       : reflection.GetMessage(message, field));
      if (!below.empty()) return field->name() + "." + below;
    }
  }
  return {};
}

// Reads text as a message of the type of `like`.
std::unique_ptr<pb::Message> Read(std::string_view text, const std::string& where,
                                  const pb::Message& like, Places* places = nullptr) {
  USER_CHECK(text.size() <= kMaxFileBytes, "[config] " + where + " is larger than 1 MiB");
  std::unique_ptr<pb::Message> fresh(like.New());
  if (std::optional<ParseFault> fault = Parse(text, fresh.get(), places)) {
    const Explanation why = Explain(fault->words, *like.GetDescriptor());
    if (fault->line < 0) ThrowUser("[config] " + where + ": " + why.words);
    MoveToName(text, why.name, &*fault);
    ThrowUser("[config] " + where + ":" + std::to_string(fault->line + 1) + ":" +
              std::to_string(fault->column + 1) + ": " + why.words +
              (why.complete ? "" : ShownLine(text, fault->line) + "; correct this line"));
  }
  const std::string bad = BadText(*fresh);
  USER_CHECK(bad.empty(),
             "[config] " + where + ": the text of " + bad + " is not UTF-8; write it in UTF-8");
  return fresh;
}

// kUser with the line for a value that is out of its range.
void CheckRangesIn(const std::string& path, const pb::Message& message, const Places& places) {
  const std::optional<RangeFault> fault = FindRangeFault(message);
  if (!fault) return;
  const Places* at = &places;
  for (size_t i = 0; i + 1 < fault->steps.size() && at != nullptr; ++i) {
    at = at->GetTreeForNested(fault->steps[i].first, fault->steps[i].second);
  }
  std::string where = path;
  if (at != nullptr) {
    const auto& [field, index] = fault->steps.back();
    where += ":" + std::to_string(at->GetLocation(field, index).line + 1);
  }
  ThrowUser("[config] " + where + ": " + fault->path + " " + fault->words + "; correct this line",
            Named(fault->path.c_str(), fault->value));
}

}  // namespace

void MergeTextprotoFile(const std::string& path, pb::Message* message) {
  Places places;
  const std::unique_ptr<pb::Message> fresh =
      Read(ReadFile(path, "config", kMaxFileBytes), path, *message, &places);
  CheckRangesIn(path, *fresh, places);
  message->MergeFrom(*fresh);
}

void MergeTextproto(std::string_view text, const std::string& where, pb::Message* message) {
  message->MergeFrom(*Read(text, where, *message));
}

namespace {

// Words for the value that a field takes.
std::string Takes(const pb::FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return "an integer";
    case pb::FieldDescriptor::CPPTYPE_UINT32:
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return "an integer of at least 0";
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      return "one of " + JoinNames(ValueNames(*field.enum_type()));
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return "a text";
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      return "\"{ field: value ... }\" with " + JoinNames(FieldNames(*field.message_type()));
  }
  return "another value";
}

bool IsList(std::string_view value) {
  return value.size() >= 2 && value.front() == '[' && value.back() == ']';
}

// Parses value as `field` of `holder` (empty until now) and nothing else.
void ParseValue(const pb::FieldDescriptor& field, const std::string& value,
                const std::string& setting, pb::Message* holder) {
  const std::string text = field.name() + ": " + value;
  const std::optional<ParseFault> fault = Parse(text, holder);
  if (fault.has_value()) {
    const Explanation why = Explain(fault->words, *field.containing_type());
    const bool scalar = field.message_type() == nullptr && field.enum_type() == nullptr;
    ThrowUser(
        "[set] " + setting + ": " +
        (why.complete && !scalar
             ? why.words
             : field.name() + " takes " + (field.is_repeated() ? "a list [ ... ] of " : "") +
                   Takes(field) + ", not \"" + Excerpt(value, 100) + "\"" +
                   (field.is_repeated() && field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING
                        ? "; put each text in quotes"
                        : "")));
  }
  std::vector<const pb::FieldDescriptor*> set;
  holder->GetReflection()->ListFields(*holder, &set);
  USER_CHECK(set.size() <= 1 && (set.empty() || set.front() == &field),
             "[set] " + setting + ": the value sets other fields too; give each its own --set");
}

// The values of `assignment` as `field` of a new message of the type that holds it.
std::unique_ptr<pb::Message> HoldValue(const pb::FieldDescriptor& field, const std::string& value,
                                       const std::string& setting, const pb::Message& like) {
  std::unique_ptr<pb::Message> holder(like.New());
  const pb::Reflection& reflection = *holder->GetReflection();
  const bool is_text = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING;
  if (field.is_repeated() && value.empty()) return holder;
  if (is_text && field.is_repeated() && !IsList(value)) {
    reflection.AddString(holder.get(), &field, value);
  } else if (is_text && !field.is_repeated()) {
    reflection.SetString(holder.get(), &field, value);
  } else {
    ParseValue(field, value, setting, holder.get());
  }
  return holder;
}

}  // namespace

namespace {

// `replaced` holds the lists that an earlier assignment has replaced: this one adds to them.
void Assign(std::string_view assignment, pb::Message* message, std::set<std::string>* replaced) {
  const size_t equals = assignment.find('=');

  USER_CHECK(equals != std::string_view::npos && equals > 0,
             "[set] \"" + Excerpt(assignment, 200) +
                 "\" is not a setting; write --set name.of.field=value");
  USER_CHECK(assignment.size() <= kMaxFileBytes, "[set] the value is larger than 1 MiB");
  const std::string path(assignment.substr(0, equals));
  const std::string value(assignment.substr(equals + 1));

  const std::string shown = Excerpt(path, 200);

  // All names are looked up before anything changes.
  std::vector<const pb::FieldDescriptor*> steps;
  const pb::Descriptor* type = message->GetDescriptor();
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const pb::FieldDescriptor* field = type->FindFieldByName(name);
    USER_CHECK(field != nullptr, "[set] " + shown + ": " + UnknownField(Excerpt(name, 100), *type));
    steps.push_back(field);
    const bool last = end == path.size();
    USER_CHECK(last || field->message_type() != nullptr,
               "[set] " + shown + ": " + name + " takes " + Takes(*field) +
                   " and has no fields; write --set " + path.substr(0, end) + "=value");
    USER_CHECK(last || !field->is_repeated(), "[set] " + shown + ": " + name +
                                                  " is a list; write --set '" +
                                                  path.substr(0, end) + "={ ... }'");
    type = field->message_type();
    begin = end + 1;
  }

  const pb::FieldDescriptor& field = *steps.back();
  const std::unique_ptr<pb::Message> like(
      pb::MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
  const std::unique_ptr<pb::Message> held = HoldValue(field, value, path, *like);
  USER_CHECK(BadText(*held).empty(),
             "[set] " + path + ": the text is not UTF-8; write it in UTF-8");

  pb::Message* at = message;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    at = at->GetReflection()->MutableMessage(at, steps[i]);
  }
  const bool adds = field.is_repeated() && !replaced->insert(path).second &&
                    held->GetReflection()->FieldSize(*held, &field) > 0;
  if (!adds && (field.is_repeated() || field.message_type() == nullptr)) {
    at->GetReflection()->ClearField(at, &field);
  }
  at->MergeFrom(*held);
}

}  // namespace

void SetField(const std::string& assignment, pb::Message* message) {
  SetFields({&assignment, 1}, message);
}

void SetFields(std::span<const std::string> assignments, pb::Message* message) {
  std::set<std::string> replaced;
  for (const std::string& assignment : assignments) Assign(assignment, message, &replaced);
}

}  // namespace grouper
