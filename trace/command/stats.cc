#include "trace/query/stats.h"

#include <cstdio>

#include "base/io/json.h"
#include "trace/command/command.h"
#include "trace/view/table.h"

namespace grouper {
namespace {

using reward::v1::ScoreResult;

std::string JsonLine(const StepStats& stats) {
  JsonWriter json;
  json.BeginObject().Key("step").Value(stats.step).Key("groups").Value(stats.groups);
  json.Key("completions").Value(stats.completions);
  json.Key("reward_mean").Value(stats.reward_mean()).Key("accuracy").Value(stats.accuracy());
  json.Key("tokens").Value(stats.tokens).Key("length_mean").Value(stats.length_mean());
  json.Key("length_max").Value(stats.max_tokens);
  json.Key("truncated_share").Value(stats.truncated_share());
  json.Key("entropy_mean").Value(stats.entropy_mean());
  json.Key("no_signal_groups").Value(stats.no_signal_groups);
  json.Key("scored").Value(stats.scored());
  json.Key("unscorable").Value(stats.statuses[ScoreResult::UNSCORABLE]);
  json.Key("timeout").Value(stats.statuses[ScoreResult::TIMEOUT]);
  json.Key("internal").Value(stats.statuses[ScoreResult::INTERNAL]);
  json.Key("status_unspecified").Value(stats.statuses[ScoreResult::STATUS_UNSPECIFIED]);
  // These are null while the step is not finished, because no record does not mean no mismatch.
  const auto from_record = [&](const char* name, uint64_t value) {
    json.Key(name);
    if (stats.record) {
      json.Value(value);
    } else {
      json.Null();
    }
  };
  const StepRecord record = stats.record.value_or(StepRecord());
  from_record("policy_version", record.policy_version());
  from_record("checked_tokens", record.checked_tokens());
  from_record("mismatches", record.mismatches());
  return json.EndObject().text();
}

std::string Percent(double share) {
  const std::string number = FormatFixed(100 * share, 1);
  return number == "-" ? number : number + "%";
}

// Returns "0", or for example "2 TIMEOUT, 1 INTERNAL".
std::string NotScored(const StepStats& stats) {
  std::string text;
  for (int status = 0; status < ScoreResult::Status_ARRAYSIZE; ++status) {
    const int64_t count = stats.statuses[static_cast<size_t>(status)];
    if (status == ScoreResult::SCORED || count == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " +
            ScoreResult::Status_Name(static_cast<ScoreResult::Status>(status));
  }
  return text.empty() ? "0" : text;
}

}  // namespace

void RunStats(const StatsOptions& options, std::ostream& out, std::ostream& notes) {
  TraceReader reader(options.run);
  const std::vector<StepStats> steps = CollectStats(&reader);
  using Align = Table::Align;
  Table table({{"step"},
               {"groups"},
               {"compl"},
               {"reward"},
               {"acc"},
               {"length"},
               {"max"},
               {"cut"},
               {"entropy"},
               {"no signal"},
               {"policy"},
               {"checked"},
               {"mismatch"},
               {"not scored", Align::kLeft}});
  for (const StepStats& stats : steps) {
    if (options.json) {
      out << JsonLine(stats) << '\n';
      continue;
    }
    const auto& record = stats.record;
    table.AddRow({std::to_string(stats.step), std::to_string(stats.groups),
                  std::to_string(stats.completions), FormatFixed(stats.reward_mean(), 3),
                  FormatFixed(stats.accuracy(), 3), FormatFixed(stats.length_mean(), 1),
                  std::to_string(stats.max_tokens), Percent(stats.truncated_share()),
                  FormatFixed(stats.entropy_mean(), 3), std::to_string(stats.no_signal_groups),
                  record ? std::to_string(record->policy_version()) : "-",
                  record ? std::to_string(record->checked_tokens()) : "-",
                  record ? std::to_string(record->mismatches()) : "-", NotScored(stats)});
  }
  if (!options.json) table.Print(out);
  if (steps.empty()) notes << "note: the trace holds no group yet\n";
  PrintNotes(reader, notes);
}

}  // namespace grouper
