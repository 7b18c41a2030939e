#include "rl/data_rows.h"

#include <numeric>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json_lines.h"
#include "base/log.h"
#include "base/random.h"

namespace grouper {
namespace {

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// The first {question} of the template; the question's own braces stay as they are.
std::string ApplyTemplate(const std::string& pattern, const std::string& question) {
  const size_t at = pattern.find("{question}");
  USER_CHECK(at != std::string::npos, "[data] data.prompt_template must contain {question}, got",
             pattern);
  return pattern.substr(0, at) + question + pattern.substr(at + 10);
}

DataRow ReadRow(const Json& json, const std::string& where, const Config& config,
                const Tokenizer& tokenizer, int64_t room_tokens, bool with_answer) {
  const DataConfig& data = config.data();
  DataRow row;
  row.where = where;
  const std::string& question = json.String(data.question_field(), where);
  USER_CHECK(!Trim(question).empty(), where + ": field \"" + data.question_field() + "\" is empty");
  row.prompt = ApplyTemplate(data.prompt_template(), question);
  row.answer = json.String(data.answer_field(), where);
  std::string gold = row.answer;
  if (!data.gold_after().empty()) {
    const size_t at = gold.rfind(data.gold_after());
    USER_CHECK(at != std::string::npos,
               where + ": field \"" + data.answer_field() + "\" lacks data.gold_after",
               data.gold_after());
    gold = gold.substr(at + data.gold_after().size());
  }
  gold = Trim(gold);
  USER_CHECK(!gold.empty(), where + ": field \"" + data.answer_field() + "\" holds no gold answer");
  row.golds.push_back(gold);
  row.prompt_ids.push_back(tokenizer.bos());
  int64_t answer_tokens = 0;
  try {
    for (int32_t id : tokenizer.Encode(row.prompt, false)) row.prompt_ids.push_back(id);
    if (with_answer) {
      answer_tokens = static_cast<int64_t>(tokenizer.Encode(row.answer, false).size()) + 1;
    }
  } catch (const Error& error) {
    ThrowUser(where + ": " + error.message());
  }
  const int64_t need =
      static_cast<int64_t>(row.prompt_ids.size()) + std::max(room_tokens, answer_tokens);
  USER_CHECK(need <= config.policy().max_positions(),
             where +
                 ": prompt with its answer is longer than policy.max_positions; raise it or set "
                 "data.on_bad=SKIP (tokens needed, context)",
             need, config.policy().max_positions());
  return row;
}

}  // namespace

DataRows ReadDataRows(const std::string& path, const std::string& setting, const Config& config,
                      const Tokenizer& tokenizer, int64_t room_tokens, bool with_answer) {
  DataRows data;
  JsonLinesReader reader(path, setting);
  Json json;
  while (config.data().max_rows() == 0 ||
         static_cast<int64_t>(data.rows.size()) < config.data().max_rows()) {
    try {
      if (!reader.Next(&json)) break;
      data.rows.push_back(
          ReadRow(json, reader.where(), config, tokenizer, room_tokens, with_answer));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUser || config.data().on_bad() != DataConfig::SKIP) throw;
      ++data.skipped;
    }
  }
  if (data.skipped > 0) {
    LogWarn("[data] " + path + ": " + std::to_string(data.skipped) +
            " rows skipped (data.on_bad=SKIP)");
  }
  USER_CHECK(!data.rows.empty(), "[data] no usable row; check the file and " + setting, path,
             data.skipped);
  data.sha256 = Sha256Hex(ReadFile(path, setting));
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
