#include "proto/check/rubric_check.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "base/error.h"
#include "proto/check/range_check.h"

namespace grouper {
namespace {

// Clients refuse rewards beyond this.
constexpr double kMostReward = 1e6;

// False if a newer version wrote the message: it would hold a rule that is ignored here, or an enum
// value that is read as the default.
bool KnowsAll(const google::protobuf::Message& message) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return false;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated() && !KnowsAll(reflection->GetMessage(message, field))) return false;
    for (int i = 0; field->is_repeated() && i < reflection->FieldSize(message, field); ++i) {
      if (!KnowsAll(reflection->GetRepeatedMessage(message, field, i))) return false;
    }
  }
  return true;
}

void CheckClamp(const Clamp& clamp, const std::string& where) {
  USER_CHECK(!clamp.has_low() || !clamp.has_high() || clamp.low() <= clamp.high(),
             where + ": clamp.low must not be above clamp.high", Named("low", clamp.low()),
             Named("high", clamp.high()));
}

// How far from 0 the component can take the reward.
double Reach(const Component& c) {
  double value = c.name() == "accuracy" ? std::max(std::fabs(c.right()), std::fabs(c.wrong())) : 1;
  if (c.clamp().has_low()) value = std::max(value, std::fabs(c.clamp().low()));
  if (c.clamp().has_high()) value = std::max(value, std::fabs(c.clamp().high()));
  return std::fabs(c.weight()) * value;
}

void CheckComponent(const Component& c, const std::string& rubric) {
  static constexpr std::array<const char*, 5> kKnown = {"accuracy", "format", "overlong",
                                                        "repetition", "length"};
  USER_CHECK(std::find(kKnown.begin(), kKnown.end(), c.name()) != kKnown.end(),
             rubric + "unknown component; use accuracy, format, overlong, repetition or length",
             Named("component", Excerpt(c.name())));
  const std::string where = rubric + "component " + c.name();
  CheckClamp(c.clamp(), where);
  USER_CHECK(c.name() != "overlong" ||
                 (c.has_max_tokens() && c.has_ramp_tokens() && c.ramp_tokens() <= c.max_tokens()),
             where + ": set max_tokens, and ramp_tokens from 1 to max_tokens",
             Named("ramp_tokens", c.ramp_tokens()), Named("max_tokens", c.max_tokens()));
}

void CheckGates(const Rubric& rubric, const std::string& where) {
  const auto find = [&](const std::string& name) {
    return std::find_if(rubric.component().begin(), rubric.component().end(),
                        [&](const Component& c) { return c.name() == name; });
  };
  for (const Component& c : rubric.component()) {
    std::string gate = c.gate();
    for (int steps = 0; !gate.empty(); ++steps) {
      const auto next = find(gate);
      USER_CHECK(next != rubric.component().end(),
                 where + "a gate must name a component of the rubric",
                 Named("gate", Excerpt(gate)));
      USER_CHECK(gate != c.name() && steps < rubric.component_size(),
                 where + "a component must not gate itself, directly or through others",
                 Named("component", c.name()));
      gate = next->gate();
    }
  }
}

}  // namespace

void CheckRubric(const Rubric& rubric) {
  const std::string where = "[rubric] \"" + Excerpt(rubric.name()) + "\": ";
  USER_CHECK(
      KnowsAll(rubric),
      where + "it holds a field or a value that this version does not know; update the service");
  const std::optional<RangeFault> fault = FindRangeFault(rubric);
  if (fault) {
    ThrowUser(where + fault->path + " " + fault->words, Named(fault->path.c_str(), fault->value));
  }
  USER_CHECK(rubric.component_size() > 0,
             where + "it has no component; add component { name: \"accuracy\" }");
  std::set<std::string> names;
  double reach = 0;
  for (const Component& c : rubric.component()) {
    CheckComponent(c, where);
    USER_CHECK(names.insert(c.name()).second, where + "each component may be named once",
               Named("component", c.name()));
    reach += Reach(c);
  }
  CheckGates(rubric, where);
  CheckClamp(rubric.clamp(), where + "the sum");
  USER_CHECK(reach <= kMostReward, where + "weights and values allow a reward beyond the limit",
             Named("reach", reach), Named("limit", kMostReward));
  USER_CHECK(rubric.extraction() != Rubric::LINE || !rubric.marker().empty(),
             where + "extraction LINE needs a marker");
}

void CheckRubrics(const google::protobuf::RepeatedPtrField<Rubric>& rubrics) {
  USER_CHECK(!rubrics.empty(),
             "[config] reward.rubric is empty: name at least one set of scoring rules "
             "(examples/quickstart_rl.textproto)");
  std::set<std::string> names;
  for (const Rubric& rubric : rubrics) {
    CheckRubric(rubric);
    USER_CHECK(names.insert(rubric.name()).second,
               "[config] two entries of reward.rubric have the same name; give each its own",
               Named("name", Excerpt(rubric.name())));
  }
}

}  // namespace grouper
