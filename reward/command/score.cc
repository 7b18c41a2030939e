#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdio>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/io/json_lines.h"
#include "base/io/output.h"
#include "base/thread.h"
#include "proto/check/rubric_check.h"
#include "proto/textproto.h"
#include "reward/code/json_value.h"
#include "reward/code/local_code_grader.h"
#include "reward/command/options.h"
#include "reward/math/math_grader.h"
#include "reward/scorer.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

struct Row {
  std::string id_json;  // as it stood, string or number
  reward::v1::ScoreItem item;
  Rubric rubric;
  Result result;
};

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

void SetMode(const std::string& mode, const std::string& where, Rubric* rubric) {
  Rubric::Extraction extraction;
  USER_CHECK(Rubric::Extraction_Parse(Upper(mode), &extraction),
             where + ": mode must be boxed, answer_tag, gsm8k, line or whole", Named("mode", mode));
  rubric->set_extraction(extraction);
}

// A rubric field in a row overrides the rubric: {"units": "required"}, {"tolerance": {"absolute":
// 0.01}}.
void SetRubricField(const Json::Member& member, const std::string& where, Rubric* rubric) {
  const google::protobuf::FieldDescriptor* field =
      Rubric::descriptor()->FindFieldByName(member.first);
  USER_CHECK(field != nullptr,
             where + ": field \"" + member.first +
                 "\" is neither a row field nor a rubric field; start private names with _");
  std::string value;
  AppendJson(member.second, &value);
  if (field->enum_type() != nullptr && member.second.IsString()) {
    std::string name = Upper(member.second.text);
    if (field->enum_type()->FindValueByName(name) == nullptr)
      name = Upper(member.first) + "_" + name;
    value = "\"" + name + "\"";
  }
  Rubric part;
  const auto status = google::protobuf::util::JsonStringToMessage(
      "{\"" + member.first + "\":" + value + "}", &part);
  USER_CHECK(status.ok(), where + ": field \"" + member.first +
                              "\" does not fit the rubric: " + std::string(status.message()));
  if (field->is_repeated() ||
      field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
    rubric->GetReflection()->ClearField(rubric, field);
  }
  rubric->MergeFrom(part);
}

Row ReadRow(const Json& json, const std::string& where, const Rubric& defaults) {
  Row row;
  row.rubric = defaults;
  const Json& id = json.At("id", where);
  USER_CHECK(id.IsString() || id.IsNumber(), where + ": field \"id\" must be a string or a number");
  AppendJson(id, &row.id_json);
  row.item.set_item_id(id.text);
  row.item.set_completion(json.String("completion", where));
  std::string task;  // the field that holds it
  bool has_tokens = false;
  for (const Json::Member& member : json.members) {
    const auto& [name, value] = member;
    if (name == "answer" || name == "golds" || name == "problem") {
      USER_CHECK(task.empty(), where + ": a row has one task, but both \"" + name + "\" and \"" +
                                   task + "\" are set");
      task = name;
    }
    if (name == "id" || name == "completion" || name == "meta" || name.rfind("_", 0) == 0) continue;
    if (name == "answer") {
      USER_CHECK(value.IsString() || value.IsNumber(),
                 where + ": field \"answer\" must be a string or a number");
      row.item.mutable_math()->add_golds(value.text);
    } else if (name == "golds") {
      USER_CHECK(value.IsArray(), where + ": field \"golds\" must be a list of strings");
      for (const Json& gold : value.items) {
        USER_CHECK(gold.IsString(), where + ": field \"golds\" must be a list of strings");
        row.item.mutable_math()->add_golds(gold.text);
      }
    } else if (name == "problem") {
      std::string text;
      AppendJson(value, &text);
      const auto status = google::protobuf::util::JsonStringToMessage(
          text, row.item.mutable_code()->mutable_problem());
      USER_CHECK(status.ok(), where + ": field \"problem\": " + std::string(status.message()));
      row.item.mutable_code()->set_language("python");
    } else if (name == "mode") {
      SetMode(json.String("mode", where), where, &row.rubric);
    } else if (name == "group_id") {
      USER_CHECK(value.IsString() || value.IsNumber(),
                 where + ": field \"group_id\" must be a string or a number");
      row.item.set_group_id(value.text);
    } else if (name == "prefill") {
      row.item.set_prefill(json.String("prefill", where));
    } else if (name == "tokens") {
      const int64_t tokens = json.Integer("tokens", where);
      USER_CHECK(tokens >= 0 && tokens <= std::numeric_limits<uint32_t>::max(),
                 where + ": field \"tokens\" must be 0 or above", Named("tokens", tokens));
      row.item.set_completion_tokens(static_cast<uint32_t>(tokens));
      has_tokens = true;
    } else if (name == "truncated") {
      USER_CHECK(value.kind == Json::Kind::kBool,
                 where + ": field \"truncated\" must be true or false");
      row.item.set_truncated(value.boolean);
    } else {
      SetRubricField(member, where, &row.rubric);
    }
  }
  USER_CHECK(row.item.task_case() != reward::v1::ScoreItem::TASK_NOT_SET,
             where + ": one of \"answer\", \"golds\" or \"problem\" is missing");
  CheckRubric(row.rubric);
  for (const Component& c : row.rubric.component()) {
    const bool counts = c.name() == "overlong" || c.name() == "length";
    USER_CHECK(!counts || has_tokens,
               where + ": field \"tokens\" is missing, and a component of the rubric needs it",
               Named("component", c.name()));
    USER_CHECK(c.name() != "length" || !row.item.group_id().empty(),
               where + ": field \"group_id\" is missing; the rubric's component length needs it");
  }
  return row;
}

std::string ToJson(const Row& row) {
  const Result& r = row.result;
  JsonWriter w;
  w.BeginObject();
  w.Key("status").Value(Result::Status_Name(r.status()));
  if (r.verdict() != Result::VERDICT_UNSPECIFIED)
    w.Key("verdict").Value(Result::Verdict_Name(r.verdict()));
  if (r.has_reward()) w.Key("reward").Value(r.reward());
  const std::map<std::string, double> sorted(r.components().begin(), r.components().end());
  w.Key("components").BeginObject();
  for (const auto& [name, value] : sorted) w.Key(name).Value(value);
  w.EndObject().Key("reason").Value(r.reason());
  if (!r.extraction().rung().empty()) {
    w.Key("extraction").BeginObject().Key("rung").Value(r.extraction().rung());
    w.Key("begin").Value(static_cast<int64_t>(r.extraction().begin()));
    w.Key("end").Value(static_cast<int64_t>(r.extraction().end()));
    w.Key("answer").Value(r.extraction().answer()).EndObject();
  }
  if (r.tests_size() > 0) {
    w.Key("tests").BeginArray();
    for (const auto& test : r.tests()) {
      w.BeginObject()
          .Key("verdict")
          .Value(test.verdict())
          .Key("detail")
          .Value(test.detail())
          .EndObject();
    }
    w.EndArray();
  }
  w.Key("flags").BeginArray();
  for (const std::string& flag : r.flags()) w.Value(flag);
  w.EndArray().Key("grader_version").Value(r.grader_version());
  w.Key("rubric_hash").Value(RubricHash(row.rubric));
  w.EndObject();
  return "{\"id\":" + row.id_json + "," + w.text().substr(1);
}

// Adds the component length to the results of a group. The rows of a group follow each other in the
// file, and all of them are here.
void AddLengths(std::vector<Row>* rows) {
  std::vector<GroupMember> group;
  for (size_t i = 0; i < rows->size(); ++i) {
    Row& row = (*rows)[i];
    if (!group.empty() && group[0].item->group_id() != row.item.group_id()) {
      AddLength(group);
      group.clear();
    }
    group.push_back({&row.item, &row.rubric, &row.result});
  }
  AddLength(group);
}

}  // namespace

int RunScore(const ScoreOptions& options) {
  Rubric defaults;
  if (!options.rubric_file.empty()) MergeTextprotoFile(options.rubric_file, &defaults);
  if (defaults.component_size() == 0) defaults.add_component()->set_name("accuracy");
  if (!options.mode.empty()) SetMode(options.mode, "--mode", &defaults);
  if (!options.marker.empty()) defaults.set_marker(options.marker);
  CheckRubric(defaults);
  const MathGrader math;
  const LazyCodeGrader code(Jail::AtLeast(options.min_isolation));
  const Scorer scorer(&math, &code);
  const size_t threads = options.threads > 0 ? static_cast<size_t>(options.threads)
                                             : static_cast<size_t>(UsableCores());

  JsonLinesReader reader(options.file, "score");
  constexpr size_t kRows = 4096;  // in memory at once
  size_t handled = 0;
  bool more = true;
  std::vector<Row> rows, carried;
  std::set<std::string> groups;  // that have begun, where length counts
  while (more) {
    rows = std::move(carried);
    carried.clear();
    Json json;
    std::exception_ptr failure;
    // A group is scored as a whole, so rows beyond the limit are read until their group ends.
    while (true) {
      try {
        more = reader.Next(&json);
        if (!more) break;
        Row row = ReadRow(json, reader.where(), defaults);
        const bool same = !rows.empty() && !row.item.group_id().empty() &&
                          row.item.group_id() == rows.back().item.group_id();
        if (!same && HasLength(row.rubric)) {
          USER_CHECK(groups.insert(row.item.group_id()).second,
                     reader.where() +
                         ": field \"group_id\": the rows of one group must follow each other, "
                         "because the rubric has the "
                         "component length",
                     Named("group_id", row.item.group_id()));
        }
        if (rows.size() >= kRows && !same) {
          carried.push_back(std::move(row));
          break;
        }
        rows.push_back(std::move(row));
      } catch (const Error&) {
        failure = std::current_exception();  // rows before the bad one are still answered
        more = false;
        break;
      }
    }
    std::vector<std::jthread> workers;
    std::atomic<size_t> next{0};
    for (size_t t = 0; t < threads; ++t) {
      workers.emplace_back([&] {
        for (size_t i = next.fetch_add(1); i < rows.size(); i = next.fetch_add(1)) {
          rows[i].result = scorer.Score(rows[i].item, rows[i].rubric, {});
        }
      });
    }
    workers.clear();
    AddLengths(&rows);
    for (const Row& row : rows) std::printf("%s\n", ToJson(row).c_str());
    FlushStdout();
    handled += rows.size();
    if (failure) std::rethrow_exception(failure);
    if (more) std::fprintf(stderr, "[score] %zu rows\n", handled);
  }
  return 0;
}

}  // namespace grouper
