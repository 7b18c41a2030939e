#include "rl/data/data_rows.h"

#include <algorithm>
#include <numeric>

#include "base/digest.h"
#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json_lines.h"
#include "base/io/record_file.h"
#include "base/log.h"
#include "base/random.h"
#include "policy/policy_config.h"
#include "rl/data/prompt_template.h"
#include "trace/store/frame_bytes.h"

namespace grouper {
namespace {

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// The tokens as they were sampled, so that nothing is encoded again. Their text must be the
// answer's.
std::vector<int32_t> ReadAnswerIds(const Json& listed, const std::string& name,
                                   const std::string& answer, const Tokenizer& tokenizer) {
  USER_CHECK(listed.IsArray() && !listed.items.empty(),
             "field \"" + name + "\" must be a list of at least one token id");
  std::vector<int32_t> ids;
  for (const Json& id : listed.items) {
    USER_CHECK(id.is_integer && id.integer >= 0 && id.integer < tokenizer.vocab_size(),
               "field \"" + name + "\" holds a value that is not a token id of the tokenizer",
               Named("tokenizer", tokenizer.name()));
    ids.push_back(static_cast<int32_t>(id.integer));
  }
  USER_CHECK(tokenizer.Decode(ids) == answer,
             "field \"" + name +
                 "\" holds other text than the answer; set data.tokenizer to the one that the "
                 "samples were made with, or remove the field",
             Named("tokenizer", tokenizer.name()));
  return ids;
}

std::vector<std::string> ReadGolds(const Json& json, const std::string& where,
                                   const DataConfig& data, const std::string& answer) {
  std::vector<std::string> golds;
  if (const Json* listed = json.Find("golds")) {
    USER_CHECK(listed->IsArray() && !listed->items.empty(),
               where + ": field \"golds\" must be a list of at least one text");
    for (const Json& gold : listed->items) {
      USER_CHECK(gold.IsString() && !Trim(gold.text).empty(),
                 where + ": field \"golds\" holds an entry that is not a text or is empty");
      golds.push_back(Trim(gold.text));
    }
    return golds;
  }
  std::string gold = answer;
  if (!data.gold_after().empty()) {
    const size_t at = gold.rfind(data.gold_after());
    USER_CHECK(at != std::string::npos,
               where + ": field \"" + data.answer_field() + "\" does not contain data.gold_after",
               Named("data.gold_after", data.gold_after()));
    gold = gold.substr(at + data.gold_after().size());
  }
  gold = Trim(gold);
  USER_CHECK(!gold.empty(), where + ": field \"" + data.answer_field() + "\" holds no gold answer");
  golds.push_back(gold);
  return golds;
}

// A group of the row's prompt must fit into a frame of the trace.
void CheckRecordable(const DataRow& row, const Config& config) {
  uint64_t text = row.prompt.size();
  for (const std::string& gold : row.golds) text += gold.size();
  const int64_t members =
      std::max<int64_t>({config.group_size(), config.sample().samples(), config.eval().samples()});
  const uint64_t bytes = MostGroupBytes(text, row.prompt_ids.size(), ExpertBytes(config.policy()),
                                        static_cast<uint64_t>(members));
  USER_CHECK(bytes <= kMaxRecordBytes,
             row.where +
                 ": with its experts and scores the prompt is larger than a frame of the trace; "
                 "shorten it, lower group_size, or set data.on_bad=SKIP",
             Named("bytes", bytes), Named("most", kMaxRecordBytes),
             Named("prompt_tokens", row.prompt_ids.size()), Named("group_size", members));
}

void ReadRubric(const Json& json, const Config& config, DataRow* row) {
  const auto& rubrics = config.reward().rubric();
  const std::string& field = config.data().rubric_field();
  row->names_rubric = !field.empty() && json.Find(field) != nullptr;
  if (!row->names_rubric) {
    if (!rubrics.empty()) row->rubric = rubrics[0].name();
    return;
  }
  row->rubric = json.String(field, row->where);
  USER_CHECK(std::any_of(rubrics.begin(), rubrics.end(),
                         [&](const Rubric& rubric) { return rubric.name() == row->rubric; }),
             row->where + ": field \"" + field +
                 "\" names no entry of reward.rubric; add the entry, or set "
                 "data.rubric_field=\"\" to score every row by the first one",
             Named("rubric", Excerpt(row->rubric)));
}

DataRow ReadRow(const Json& json, const std::string& where, const Config& config,
                const Tokenizer& tokenizer, int64_t room_tokens, bool with_answer) {
  const DataConfig& data = config.data();
  DataRow row;
  row.where = where;
  row.question = json.String(data.question_field(), where);
  USER_CHECK(!Trim(row.question).empty(),
             where + ": field \"" + data.question_field() + "\" is empty");
  if (with_answer || json.Find("golds") == nullptr) {
    row.answer = json.String(data.answer_field(), where);
  }
  if (with_answer) {
    USER_CHECK(!Trim(row.answer).empty(),
               where + ": field \"" + data.answer_field() + "\" is empty");
  } else {
    row.golds = ReadGolds(json, where, data, row.answer);
    ReadRubric(json, config, &row);
  }
  const std::string ids_field = data.answer_field() + "_ids";
  try {
    const PromptTemplate pattern(data);
    TemplatedPrompt prompt = pattern.Fill(row.question, tokenizer);
    row.prompt = std::move(prompt.text);
    row.prompt_ids = std::move(prompt.ids);
    row.prefill = pattern.prefill();
    const Json* listed = with_answer ? json.Find(ids_field) : nullptr;
    if (listed != nullptr) {
      row.answer_ids = ReadAnswerIds(*listed, ids_field, row.answer, tokenizer);
    } else if (with_answer) {
      row.answer_ids = EncodeTrusted(row.answer, data, tokenizer);
    }
    if (with_answer) room_tokens = static_cast<int64_t>(row.answer_ids.size()) + 1;
  } catch (const Error& error) {
    ThrowUser(where + ": " + error.message());
  }
  const int64_t need = static_cast<int64_t>(row.prompt_ids.size()) + room_tokens;
  USER_CHECK(need <= config.policy().max_positions(),
             where +
                 (with_answer ? ": prompt and answer exceed"
                              : ": prompt and sampling.max_new_tokens exceed") +
                 " policy.max_positions; raise it or set data.on_bad=SKIP",
             Named("tokens", need), Named("policy.max_positions", config.policy().max_positions()));
  if (!with_answer) CheckRecordable(row, config);
  return row;
}

// Faults of the config are reported once and are not counted as bad rows.
void CheckDataConfig(const std::string& path, const std::string& setting, const DataConfig& data) {
  USER_CHECK(path != "-",
             "[" + setting +
                 "] the rows are read again when a run resumes, and standard input cannot be "
                 "read again; name a JSONL file");
  PromptTemplate{data};
}

// Decided by the number of the line alone, so every stage holds out the same lines, whatever else
// it skips.
bool InPart(int64_t line_number, RowPart part, const DataConfig& data) {
  const bool held_out = data.holdout_every() > 0 && line_number % data.holdout_every() == 0;
  return part == RowPart::kAll || held_out == (part == RowPart::kHeldOut);
}

void WarnOfSkipped(const std::string& path, const DataRows& data) {
  constexpr size_t kShown = 3;
  LogWarn("[data] " + path + ": " + std::to_string(data.skipped) +
          " rows were skipped (data.on_bad=SKIP)");
  for (size_t i = 0; i < std::min(kShown, data.skip_reasons.size()); ++i) {
    LogWarn("[data] skipped " + data.skip_reasons[i]);
  }
}

}  // namespace

DataRows ReadDataRows(const DataRequest& request, const Config& config,
                      const Tokenizer& tokenizer) {
  CheckDataConfig(request.path, request.setting, config.data());
  DataRows data;
  JsonLinesReader reader(request.path, request.setting);
  Json json;
  while (config.data().max_rows() == 0 ||
         static_cast<int64_t>(data.rows.size()) < config.data().max_rows()) {
    try {
      if (!reader.Next(&json)) break;
      if (!InPart(reader.line_number(), request.part, config.data())) continue;
      data.rows.push_back(ReadRow(json, reader.where(), config, tokenizer, request.room_tokens,
                                  request.with_answer));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUser || config.data().on_bad() != DataConfig::SKIP) throw;
      if (data.skip_reasons.size() < kMostReasons) data.skip_reasons.push_back(error.message());
      ++data.skipped;
    }
  }
  if (data.skipped > 0) WarnOfSkipped(request.path, data);
  USER_CHECK(!data.rows.empty() || request.part == RowPart::kHeldOut,
             "[data] the file has no usable row; check it and " + request.setting +
                 (data.skip_reasons.empty() ? "" : "; the first row: " + data.skip_reasons[0]),
             Named("file", request.path), Named("rows_skipped", data.skipped));
  data.sha256 = Sha256Hex(ReadFile(request.path, request.setting));
  return data;
}

std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch, size_t rows) {
  std::vector<uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0u);
  PhiloxSequence random(seed, RandomStream::kDataOrder, epoch);
  for (size_t i = rows; i > 1; --i) {
    std::swap(order[i - 1],
              order[static_cast<size_t>(random.Uniform(0, static_cast<int64_t>(i) - 1))]);
  }
  return order;
}

}  // namespace grouper
