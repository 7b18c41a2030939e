#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <memory>

#include "base/error.h"
#include "proto/textproto.h"

namespace grouper {

namespace pb = google::protobuf;

namespace {

// Sets every unset scalar of message and of the messages in it to its declared default.
void FillDefaults(pb::Message* message) {
  const pb::Descriptor& type = *message->GetDescriptor();
  const pb::Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor* field = type.field(i);
    if (field->is_repeated()) {
      if (field->message_type() == nullptr || field->is_map()) continue;
      for (int k = 0; k < reflection.FieldSize(*message, field); ++k) {
        FillDefaults(reflection.MutableRepeatedMessage(message, field, k));
      }
      continue;
    }
    if (field->message_type() != nullptr) {
      if (reflection.HasField(*message, field)) {
        FillDefaults(reflection.MutableMessage(message, field));
      }
      continue;
    }
    if (field->containing_oneof() != nullptr || !field->has_presence()) continue;
    if (reflection.HasField(*message, field)) continue;
    switch (field->cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32:
        reflection.SetInt32(message, field, field->default_value_int32());
        break;
      case pb::FieldDescriptor::CPPTYPE_INT64:
        reflection.SetInt64(message, field, field->default_value_int64());
        break;
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        reflection.SetUInt32(message, field, field->default_value_uint32());
        break;
      case pb::FieldDescriptor::CPPTYPE_UINT64:
        reflection.SetUInt64(message, field, field->default_value_uint64());
        break;
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        reflection.SetDouble(message, field, field->default_value_double());
        break;
      case pb::FieldDescriptor::CPPTYPE_FLOAT:
        reflection.SetFloat(message, field, field->default_value_float());
        break;
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        reflection.SetBool(message, field, field->default_value_bool());
        break;
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        reflection.SetEnum(message, field, field->default_value_enum());
        break;
      case pb::FieldDescriptor::CPPTYPE_STRING:
        reflection.SetString(message, field, field->default_value_string());
        break;
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
  }
}

}  // namespace

std::string ToTextproto(const pb::Message& message, bool with_defaults) {
  std::unique_ptr<pb::Message> filled;
  if (with_defaults) {
    filled.reset(message.New());
    filled->CopyFrom(message);
    FillDefaults(filled.get());
  }
  pb::TextFormat::Printer printer;
  printer.SetHideUnknownFields(true);
  printer.SetUseUtf8StringEscaping(true);
  std::string text;
  CHECK(printer.PrintToString(filled != nullptr ? *filled : message, &text),
        "[config] the message cannot be printed", Named("type", message.GetTypeName()));
  return text;
}

}  // namespace grouper
