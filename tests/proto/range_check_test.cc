// The ranges of the settings: every number has one, the check finds what is outside, and
// docs/config.md shows it.
#include "proto/check/range_check.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/error.h"
#include "base/io/file.h"
#include "proto/config.pb.h"
#include "proto/range.pb.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

namespace pb = google::protobuf;
using testing_support::TempFolder;
using testing_support::UserErrorOf;

// Calls `see` with every numeric field that a config can hold.
void ForEachNumber(const pb::Descriptor* type, std::set<const pb::Descriptor*>* seen,
                   const std::function<void(const pb::FieldDescriptor&)>& see) {
  if (!seen->insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    const pb::FieldDescriptor& field = *type->field(i);
    if (IsNumeric(field)) see(field);
    if (field.message_type() != nullptr) ForEachNumber(field.message_type(), seen, see);
  }
}
void ForEachNumber(const std::function<void(const pb::FieldDescriptor&)>& see) {
  std::set<const pb::Descriptor*> seen;
  ForEachNumber(Config::descriptor(), &seen, see);
}

TEST(Ranges, EveryNumberOfAConfigHasOne) {
  int count = 0;
  ForEachNumber([&](const pb::FieldDescriptor& field) {
    SCOPED_TRACE(field.full_name());
    ++count;
    EXPECT_TRUE(field.options().HasExtension(within)) << "add (within) to the field";
    const ValueRange& range = field.options().GetExtension(within);
    EXPECT_TRUE(range.any() || range.has_min() != range.has_above()) << "one lower end";
    EXPECT_TRUE(range.any() || range.has_max() != range.has_below()) << "one upper end";
  });
  EXPECT_GT(count, 80);
}

TEST(Ranges, EveryDefaultIsInItsRange) {
  ForEachNumber([&](const pb::FieldDescriptor& field) {
    if (!field.has_default_value()) return;
    SCOPED_TRACE(field.full_name());
    const std::unique_ptr<pb::Message> holder(
        pb::MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
    MergeTextproto(ToTextproto(*holder, true), "defaults", holder.get());
    for (int i = 0; i < field.containing_type()->field_count(); ++i) {
      const pb::FieldDescriptor* other = field.containing_type()->field(i);
      if (other != &field) holder->GetReflection()->ClearField(holder.get(), other);
    }
    EXPECT_TRUE(holder->GetReflection()->HasField(*holder, &field));
    EXPECT_FALSE(FindRangeFault(*holder).has_value());
  });
}

TEST(Ranges, NanAndInfinityAreInNone) {
  ForEachNumber([&](const pb::FieldDescriptor& field) {
    if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_DOUBLE) return;
    SCOPED_TRACE(field.full_name());
    const std::unique_ptr<pb::Message> holder(
        pb::MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
    for (const char* value : {"nan", "-nan", "inf", "-inf", "1e999"}) {
      holder->Clear();
      SetField(field.name() + "=" + value, holder.get());
      EXPECT_TRUE(FindRangeFault(*holder).has_value()) << value;
    }
  });
}

TEST(Ranges, TheDocumentShowsEach) {
  const std::string docs = ReadFile(GROUPER_CONFIG_DOCS, "docs");
  ForEachNumber([&](const pb::FieldDescriptor& field) {
    const size_t message = docs.find("\n## " + field.containing_type()->name() + "\n");
    ASSERT_NE(message, std::string::npos) << field.full_name();
    const size_t row = docs.find("\n| " + field.name() + " | ", message);
    ASSERT_NE(row, std::string::npos) << field.full_name();
    const std::string line = docs.substr(row + 1, docs.find('\n', row + 1) - row - 1);
    EXPECT_NE(line.find(" | " + RangeWords(field) + " | "), std::string::npos) << line;
  });
}

std::string Refusal(const std::string& text) {
  Config config;
  MergeTextproto(text, "text", &config);
  return UserErrorOf([&] { CheckRanges(config); });
}

TEST(Ranges, AFaultNamesSettingValueAndRange) {
  EXPECT_EQ(Refusal("optimizer { beta1: 1 }"),
            "[config] optimizer.beta1 must be from 0 to 0.99999; correct this setting: "
            "optimizer.beta1=1");
  EXPECT_EQ(Refusal("sampling { temperature: 1e-39 }"),
            "[config] sampling.temperature must be 0, or from 0.01 to 100; correct this setting: "
            "sampling.temperature=1e-39");
  EXPECT_EQ(Refusal("sampling { top_p: 0 }"),
            "[config] sampling.top_p must be above 0 and at most 1; correct this setting: "
            "sampling.top_p=0");
  EXPECT_EQ(Refusal("steps: -9223372036854775808"),
            "[config] steps must be from 0 to 1000000000; correct this setting: "
            "steps=-9223372036854775808");
  EXPECT_EQ(Refusal("reward { rubric { component { name: 'a' } } rubric { component {} component { "
                    "weight: nan } } }"),
            "[config] reward.rubric[1].component[1].weight must be from -1000000 to 1000000; "
            "correct this setting: reward.rubric[1].component[1].weight=nan");
}

TEST(Ranges, TheEndsAreIn) {
  Config config;
  MergeTextproto(
      "seed: 18446744073709551615 steps: 0 group_size: 65536 sampling { temperature: 0 top_p: 1 } "
      "loss { dual_clip: 0 entropy: -1000 } optimizer { max_grad_norm: 0 eps: 1e-15 } "
      "data { holdout_every: 0 }",
      "text", &config);
  EXPECT_FALSE(FindRangeFault(config).has_value());
  for (const char* out : {"group_size: 65537", "group_size: 1", "data { holdout_every: 1 }",
                          "loss { dual_clip: 1 }", "loss { entropy: -1000.1 }"}) {
    EXPECT_NE(Refusal(out), "") << out;
  }
}

TEST(Ranges, AFileIsRefusedWithItsLine) {
  const TempFolder folder;
  const std::string path = folder.Write("run",
                                        "steps: 3\nreward {\n  rubric { name: 'a' }\n"
                                        "  rubric {\n    component { name: 'accuracy'\n"
                                        "      weight: inf }\n  }\n}\n");
  Config config;
  const std::string message = UserErrorOf([&] { MergeTextprotoFile(path, &config); });
  EXPECT_EQ(message, "[config] " + path +
                         ":6: reward.rubric[1].component[0].weight must be from -1000000 to "
                         "1000000; correct this line: reward.rubric[1].component[0].weight=inf");
  EXPECT_EQ(config.ByteSizeLong(), 0u);
}

TEST(Ranges, ANumberThatIsNoValueOfAnEnumIsRefused) {
  Config config;
  EXPECT_NE(UserErrorOf([&] { MergeTextproto("check: 7", "text", &config); }), "");
  EXPECT_NE(UserErrorOf([&] { SetField("advantage.kind=-1", &config); }), "");
  SetField("check=1", &config);
  EXPECT_EQ(config.check(), Config::WARN);
}

}  // namespace
}  // namespace grouper
