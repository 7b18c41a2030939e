#include "proto/did_you_mean.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string_view>

namespace grouper {

namespace pb = google::protobuf;

std::string JoinNames(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ", ") + name;
  return joined;
}

std::vector<std::string> FieldNames(const pb::Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

std::vector<std::string> ValueNames(const pb::EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return names;
}

namespace {

// Edit distance of Levenshtein with transpositions of neighbours counted once.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      size_t best = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        best = std::min(best, cost[i - 2][j - 2] + 1);
      }
      cost[i][j] = best;
    }
  }
  return cost[a.size()][b.size()];
}

// Path of a field of this name in the messages below `type` ("optimizer.lr"), empty when there is
// none.
std::string PathBelow(const pb::Descriptor& type, const std::string& name, int depth = 0) {
  for (int i = 0; i < type.field_count() && depth < 4; ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    if (field.message_type() == nullptr || field.is_repeated()) continue;
    if (field.message_type()->FindFieldByName(name) != nullptr) return field.name() + "." + name;
    const std::string path = PathBelow(*field.message_type(), name, depth + 1);
    if (!path.empty()) return field.name() + "." + path;
  }
  return {};
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& known) {
  if (name.size() > 100) return {};
  std::string nearest;
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best && distance < candidate.size()) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string UnknownField(const std::string& name, const pb::Descriptor& type) {
  std::string hint = PathBelow(type, name);
  if (hint.empty()) hint = NearestName(name, FieldNames(type));
  return "unknown field \"" + name + "\" of " + type.name() +
         (hint.empty() ? "; it has " + JoinNames(FieldNames(type))
                       : "; did you mean \"" + hint + "\"?");
}

std::string UnknownValue(const std::string& value, const std::string& field,
                         const pb::EnumDescriptor& type) {
  const std::string hint = NearestName(value, ValueNames(type));
  return "\"" + value + "\" is not a value of " + field + "; it takes " +
         JoinNames(ValueNames(type)) + (hint.empty() ? "" : "; did you mean " + hint + "?");
}

const pb::FieldDescriptor* FindEnumField(const pb::Descriptor& type, const std::string& name,
                                         int depth) {
  const pb::FieldDescriptor* here = type.FindFieldByName(name);
  if (here != nullptr && here->enum_type() != nullptr) return here;
  for (int i = 0; i < type.field_count() && depth < 4; ++i) {
    const pb::Descriptor* below = type.field(i)->message_type();
    if (below == nullptr) continue;
    const pb::FieldDescriptor* found = FindEnumField(*below, name, depth + 1);
    if (found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace grouper
