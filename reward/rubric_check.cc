// Refuses rubrics that cannot be used, and says why.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "reward/scorer.h"

namespace grouper {
namespace {

// Clients refuse rewards beyond this.
constexpr double kMostReward = 1e6;
constexpr double kMostSeconds = 3600;
constexpr int64_t kMostMemoryBytes = int64_t{1} << 40;
constexpr int64_t kMostOutputBytes = int64_t{1} << 30;
constexpr int kMostNgram = 100;

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
  USER_CHECK((!clamp.has_low() || std::isfinite(clamp.low())) &&
                 (!clamp.has_high() || std::isfinite(clamp.high())),
             where + ": both ends of clamp must be finite; leave out an end that is open");
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
  USER_CHECK(std::isfinite(c.weight()), where + ": weight must be a finite number",
             Named("weight", c.weight()));
  USER_CHECK(std::isfinite(c.right()) && std::isfinite(c.wrong()),
             where + ": right and wrong must be finite numbers", Named("right", c.right()),
             Named("wrong", c.wrong()));
  CheckClamp(c.clamp(), where);
  USER_CHECK(c.name() != "overlong" ||
                 (c.max_tokens() > 0 && c.ramp_tokens() > 0 && c.ramp_tokens() <= c.max_tokens()),
             where + ": ramp_tokens must be above 0 and at most max_tokens",
             Named("ramp_tokens", c.ramp_tokens()), Named("max_tokens", c.max_tokens()));
  USER_CHECK(c.name() != "repetition" || (c.ngram() >= 1 && c.ngram() <= kMostNgram),
             where + ": ngram must be between 1 and 100", Named("ngram", c.ngram()));
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

void CheckTolerance(const Tolerance& tolerance, const std::string& where) {
  const auto bad = [](double x) { return !std::isfinite(x) || x < 0; };
  USER_CHECK(!bad(tolerance.relative()), where + "tolerance.relative must be 0 or above",
             Named("tolerance.relative", tolerance.relative()));
  USER_CHECK(!bad(tolerance.absolute()), where + "tolerance.absolute must be 0 or above",
             Named("tolerance.absolute", tolerance.absolute()));
}

void CheckCodeRules(const CodeRules& code, const std::string& where) {
  const auto seconds = [](double x) { return x > 0 && x <= kMostSeconds; };
  USER_CHECK(seconds(code.cpu_seconds()),
             where + "code.cpu_seconds must be above 0 and not above the limit",
             Named("code.cpu_seconds", code.cpu_seconds()), Named("limit", kMostSeconds));
  USER_CHECK(seconds(code.wall_seconds()),
             where + "code.wall_seconds must be above 0 and not above the limit",
             Named("code.wall_seconds", code.wall_seconds()), Named("limit", kMostSeconds));
  USER_CHECK(code.memory_bytes() > 0 && code.memory_bytes() <= kMostMemoryBytes,
             where + "code.memory_bytes must be above 0 and not above the limit",
             Named("code.memory_bytes", code.memory_bytes()), Named("limit", kMostMemoryBytes));
  USER_CHECK(code.output_bytes() > 0 && code.output_bytes() <= kMostOutputBytes,
             where + "code.output_bytes must be above 0 and not above the limit",
             Named("code.output_bytes", code.output_bytes()), Named("limit", kMostOutputBytes));
}

}  // namespace

void CheckRubric(const Rubric& rubric) {
  const std::string where = "[rubric] \"" + Excerpt(rubric.name()) + "\": ";
  USER_CHECK(
      KnowsAll(rubric),
      where + "it holds a field or a value that this version does not know; update the service");
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
  CheckTolerance(rubric.tolerance(), where);
  CheckCodeRules(rubric.code(), where);
  USER_CHECK(rubric.extraction() != Rubric::LINE || !rubric.marker().empty(),
             where + "extraction LINE needs a marker");
}

}  // namespace grouper
