#include <algorithm>
#include <limits>

#include "base/io/json.h"
#include "trace/command/command.h"
#include "trace/view/escape.h"
#include "trace/view/table.h"

namespace grouper {
namespace {

struct Lengths {
  int64_t min = 0, max = 0;
  double mean = std::numeric_limits<double>::quiet_NaN();
};

Lengths LengthsOf(const Group& group) {
  Lengths lengths;
  int64_t sum = 0;
  for (const Completion& member : group.completions()) {
    const int64_t tokens = member.ids_size();
    lengths.min = &member == &group.completions(0) ? tokens : std::min(lengths.min, tokens);
    lengths.max = std::max(lengths.max, tokens);
    sum += tokens;
  }
  if (group.completions_size() > 0) {
    lengths.mean = static_cast<double>(sum) / group.completions_size();
  }
  return lengths;
}

// The mean over SCORED members. It is NaN when there is none, so that a failure is not shown as 0.
double RewardMean(const Group& group) {
  const bool any = std::any_of(group.scores().begin(), group.scores().end(),
                               [](const auto& score) { return score.has_reward(); });
  return any ? group.reward_mean() : std::numeric_limits<double>::quiet_NaN();
}

std::string JsonLine(const GroupEntry& entry) {
  const Group& group = entry.group;
  const Lengths lengths = LengthsOf(group);
  JsonWriter json;
  json.BeginObject().Key("step").Value(group.step()).Key("group").Value(entry.index_in_step);
  json.Key("prompt").Value(group.prompt().ordinal());
  json.Key("task_id").Value(group.prompt().task_id());
  json.Key("data_source").Value(group.prompt().data_source());
  json.Key("completions").Value(group.completions_size());
  json.Key("reward_mean").Value(RewardMean(group)).Key("reward_std").Value(group.reward_std());
  json.Key("no_signal").Value(group.no_signal());
  json.Key("tokens_min").Value(lengths.min).Key("tokens_mean").Value(lengths.mean);
  json.Key("tokens_max").Value(lengths.max);
  json.Key("verdicts").BeginArray();
  for (const auto& score : group.scores()) json.Value(VerdictName(score));
  return json.EndArray().EndObject().text();
}

}  // namespace

void RunLs(const LsOptions& options, std::ostream& out, std::ostream& notes) {
  TraceReader reader(options.run);
  using Align = Table::Align;
  Table table({{"step"},
               {"group"},
               {"prompt"},
               {"task", Align::kLeft},
               {"reward"},
               {"std"},
               {"min"},
               {"tokens"},
               {"max"},
               {"verdicts", Align::kLeft}});
  GroupFilter filter;
  if (options.step) filter.first_step = filter.last_step = *options.step;
  int64_t shown = 0;
  reader.ReadGroups(filter, [&](GroupEntry& entry) {
    ++shown;
    if (options.json) {
      out << EscapeJson(JsonLine(entry)) << '\n';
      return true;
    }
    const Group& group = entry.group;
    const Lengths lengths = LengthsOf(group);
    table.AddRow(
        {std::to_string(group.step()), std::to_string(entry.index_in_step),
         std::to_string(group.prompt().ordinal()), EscapeForTerminal(group.prompt().task_id(), 40),
         FormatFixed(RewardMean(group), 3), FormatFixed(group.reward_std(), 3),
         std::to_string(lengths.min), FormatFixed(lengths.mean, 1), std::to_string(lengths.max),
         VerdictSummary(group) + (group.no_signal() ? " (no signal)" : "")});
    return true;
  });
  if (shown == 0 && options.step) {
    ThrowNotInTrace("step " + std::to_string(*options.step), &reader);
  }
  if (!options.json) table.Print(out);
  if (shown == 0) notes << "note: the trace holds no group yet\n";
  PrintNotes(reader, notes);
}

}  // namespace grouper
