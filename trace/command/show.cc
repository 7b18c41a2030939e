#include <algorithm>
#include <map>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/io/json.h"
#include "proto/expert_ids.h"
#include "trace/command/command.h"
#include "trace/view/escape.h"

namespace grouper {
namespace {

using reward::v1::ScoreResult;

// Returns the selected group. Throws kUser when there is none.
GroupEntry Select(const ShowOptions& options, TraceReader* reader) {
  GroupFilter filter;
  filter.rollout_id = options.rollout_id;
  filter.prompt_ordinal = options.prompt_ordinal;
  const bool by_identity = filter.rollout_id || filter.prompt_ordinal;
  if (!by_identity) {
    const std::optional<int64_t> step = options.step ? options.step : reader->LastStep();
    if (!step) ThrowNotInTrace("the last step", reader);
    filter.first_step = filter.last_step = *step;
  }
  const int64_t wanted = options.group.value_or(0);
  std::optional<GroupEntry> found;
  int64_t groups_in_step = 0;
  reader->ReadGroups(filter, [&](GroupEntry& entry) {
    groups_in_step = std::max(groups_in_step, entry.index_in_step + 1);
    if (by_identity || entry.index_in_step == wanted) found = std::move(entry);
    return !found.has_value();
  });
  if (found) return std::move(*found);
  if (options.rollout_id) {
    ThrowNotInTrace("rollout " + std::to_string(*options.rollout_id), reader);
  }
  if (options.prompt_ordinal) {
    ThrowNotInTrace("prompt " + std::to_string(*options.prompt_ordinal), reader);
  }
  const std::string step = std::to_string(filter.first_step);
  if (groups_in_step == 0) ThrowNotInTrace("step " + step, reader);
  ThrowUser("[trace] group " + std::to_string(wanted) + " is not in step " + step +
            "; it holds groups 0 to " + std::to_string(groups_in_step - 1));
}

template <typename Values>
void WriteArray(const char* name, const Values& values, JsonWriter* json) {
  json->Key(name).BeginArray();
  for (const auto value : values) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, float>) {
      json->Value(static_cast<double>(value));
    } else {
      json->Value(static_cast<int64_t>(value));
    }
  }
  json->EndArray();
}

void WriteScore(const ScoreResult& score, JsonWriter* json) {
  json->Key("status").Value(ScoreResult::Status_Name(score.status()));
  json->Key("verdict").Value(ScoreResult::Verdict_Name(score.verdict()));
  json->Key("reward");
  if (score.has_reward()) {
    json->Value(score.reward());
  } else {
    json->Null();
  }
  json->Key("reason").Value(score.reason());
  json->Key("components").BeginObject();
  const std::map<std::string, double> sorted(score.components().begin(), score.components().end());
  for (const auto& [name, value] : sorted) json->Key(name).Value(value);
  json->EndObject();
  json->Key("extraction");
  if (score.extraction().rung().empty()) {
    json->Null();
  } else {
    json->BeginObject().Key("rung").Value(score.extraction().rung());
    json->Key("begin").Value(static_cast<int64_t>(score.extraction().begin()));
    json->Key("end").Value(static_cast<int64_t>(score.extraction().end()));
    json->Key("answer").Value(score.extraction().answer()).EndObject();
  }
  json->Key("tests").BeginArray();
  for (const auto& test : score.tests()) {
    json->BeginObject().Key("verdict").Value(test.verdict());
    json->Key("detail").Value(test.detail()).EndObject();
  }
  json->EndArray().Key("flags").BeginArray();
  for (const std::string& flag : score.flags()) json->Value(flag);
  json->EndArray().Key("grader_version").Value(score.grader_version());
}

void WriteCompletion(const Group& group, int member, bool arrays, JsonWriter* json) {
  const Completion& completion = group.completions(member);
  json->BeginObject().Key("rollout_id").Value(completion.rollout_id());
  json->Key("index").Value(static_cast<int64_t>(completion.index()));
  if (member < group.scores_size()) WriteScore(group.scores(member), json);
  if (member < group.advantages_size()) json->Key("advantage").Value(group.advantages(member));
  json->Key("finish_reason").Value(Completion::FinishReason_Name(completion.finish_reason()));
  json->Key("tokens").Value(completion.ids_size());
  json->Key("spans").BeginArray();
  for (const PolicySpan& span : completion.spans()) {
    json->BeginObject().Key("begin").Value(static_cast<int64_t>(span.begin()));
    json->Key("end").Value(static_cast<int64_t>(span.end()));
    json->Key("policy_version").Value(span.policy_version());
    json->Key("weights_digest").Value(std::to_string(span.weights_digest()));
    json->Key("sampled").Value(span.sampled()).EndObject();
  }
  json->EndArray().Key("text").Value(completion.text());
  if (arrays) {
    WriteArray("ids", completion.ids(), json);
    WriteArray("text_ends", completion.text_ends(), json);
    WriteArray("rollout_log_probs", completion.rollout_log_probs(), json);
    WriteArray("entropies", completion.entropies(), json);
    if (completion.kept_sizes_size() > 0) WriteArray("kept_sizes", completion.kept_sizes(), json);
    json->Key("experts").BeginArray();
    const ExpertIds experts(completion.experts(), completion.expert_id_bytes());
    for (size_t i = 0; i < experts.size(); ++i) json->Value(int64_t{experts[i]});
    json->EndArray();
  }
  json->EndObject();
}

std::string GroupJson(const GroupEntry& entry, const ShowOptions& options) {
  const Group& group = entry.group;
  const Prompt& prompt = group.prompt();
  JsonWriter json;
  json.BeginObject().Key("step").Value(group.step()).Key("group").Value(entry.index_in_step);
  // A program that gives these fields to a language model must not trust them.
  json.Key("untrusted_fields").BeginArray();
  for (const char* field :
       {"prompt.text", "prompt.prefill", "text", "reason", "extraction.answer", "tests.detail"}) {
    json.Value(field);
  }
  json.EndArray();
  json.Key("prompt").BeginObject().Key("ordinal").Value(prompt.ordinal());
  json.Key("task_id").Value(prompt.task_id()).Key("data_source").Value(prompt.data_source());
  json.Key("rubric").Value(prompt.rubric()).Key("tokens").Value(prompt.ids_size());
  json.Key("text").Value(prompt.text()).Key("prefill").Value(prompt.prefill());
  if (options.tokens) WriteArray("ids", prompt.ids(), &json);
  json.EndObject();
  json.Key("reward_mean").Value(group.reward_mean()).Key("reward_std").Value(group.reward_std());
  json.Key("no_signal").Value(group.no_signal()).Key("completions").BeginArray();
  for (int member = 0; member < group.completions_size(); ++member) {
    const uint64_t id = group.completions(member).rollout_id();
    if (options.rollout_id && id != *options.rollout_id) continue;
    WriteCompletion(group, member, options.tokens, &json);
  }
  return json.EndArray().EndObject().text();
}

}  // namespace

TokenColor ParseTokenColor(std::string_view text, bool terminal_wants_color) {
  TokenColor color = TokenColor::kLogProb;
  bool always = false;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view word = text.substr(at, comma - at);
    at = comma + 1;
    if (word == "log_prob") {
      color = TokenColor::kLogProb;
    } else if (word == "entropy") {
      color = TokenColor::kEntropy;
    } else if (word == "off") {
      color = TokenColor::kOff;
    } else if (word == "always") {
      always = true;
    } else {
      ThrowUser(
          "[trace] --color takes log_prob, entropy, off or always, or several of them with commas "
          "(entropy,always)",
          Named("color", EscapeForTerminal(text, 80)));
    }
  }
  return always || terminal_wants_color ? color : TokenColor::kOff;
}

void RunShow(const ShowOptions& options, std::ostream& out, std::ostream& notes) {
  const int selectors = (options.rollout_id ? 1 : 0) + (options.prompt_ordinal ? 1 : 0) +
                        (options.step || options.group ? 1 : 0);
  USER_CHECK(
      selectors <= 1,
      "[trace] name only one of --id ROLLOUT_ID, --prompt ORDINAL, or --step N with --group K");
  TraceReader reader(options.run);
  const GroupEntry entry = Select(options, &reader);
  if (options.json) {
    out << EscapeJson(GroupJson(entry, options)) << '\n';
  } else {
    RenderGroup(
        entry, {.color = options.color, .tokens = options.tokens, .rollout_id = options.rollout_id},
        out);
  }
  PrintNotes(reader, notes);
}

}  // namespace grouper
