#include "rl/rejection_sampling/sample_filter.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/utf8.h"
#include "rl/algorithm/verdict.h"

namespace grouper {
namespace {

enum class Script {
  kNone,
  kLatin,
  kGreek,
  kCyrillic,
  kHebrew,
  kArabic,
  kIndic,
  kThai,
  kHangul,
  kHanKana
};

struct ScriptRange {
  uint32_t first, last;
  Script script;
};
// The letters of the scripts that reasoning is usually written in (blocks of Unicode 15).
constexpr ScriptRange kScripts[] = {
    {0x41, 0x5A, Script::kLatin},         {0x61, 0x7A, Script::kLatin},
    {0xAA, 0xAA, Script::kLatin},         {0xBA, 0xBA, Script::kLatin},
    {0xC0, 0xD6, Script::kLatin},         {0xD8, 0xF6, Script::kLatin},
    {0xF8, 0x24F, Script::kLatin},        {0x1E00, 0x1EFF, Script::kLatin},
    {0x370, 0x3FF, Script::kGreek},       {0x1F00, 0x1FFF, Script::kGreek},
    {0x400, 0x52F, Script::kCyrillic},    {0x5D0, 0x5EA, Script::kHebrew},
    {0x620, 0x6FF, Script::kArabic},      {0x750, 0x77F, Script::kArabic},
    {0x900, 0xDFF, Script::kIndic},       {0xE01, 0xE5B, Script::kThai},
    {0x1100, 0x11FF, Script::kHangul},    {0xAC00, 0xD7AF, Script::kHangul},
    {0x3041, 0x30FF, Script::kHanKana},   {0x3400, 0x4DBF, Script::kHanKana},
    {0x4E00, 0x9FFF, Script::kHanKana},   {0xF900, 0xFAFF, Script::kHanKana},
    {0x20000, 0x323AF, Script::kHanKana},
};

Script ScriptOf(uint32_t code) {
  for (const ScriptRange& range : kScripts) {
    if (code >= range.first && code <= range.last) return range.script;
  }
  return Script::kNone;
}

// The code point at the start of the text and its length in bytes. The code of an invalid byte is
// the byte itself.
uint32_t CodeAt(std::string_view text, size_t* length) {
  const Utf8Character character = ReadUtf8(text, 0);
  *length = std::max<size_t>(character.bytes, 1);
  return character.bytes > 0 ? character.code : static_cast<uint8_t>(text[0]);
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string Key(std::string_view kind, std::string_view prompt, std::string_view what) {
  Sha256 hash;
  hash.Update(kind);
  hash.Update(Sha256Hex(prompt));
  hash.Update(what);
  const auto bytes = hash.Finish();
  return {reinterpret_cast<const char*>(bytes.data()), 16};
}

}  // namespace

double OtherScriptShare(std::string_view text) {
  std::map<Script, int64_t> words;
  Script running = Script::kNone;
  int64_t letters = 0;
  bool command = false;  // a backslash is before the word
  char before = ' ';
  const auto end_run = [&] {
    if (running != Script::kNone && letters > 1 && !command) ++words[running];
    running = Script::kNone;
    letters = 0;
  };
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const Script script = ScriptOf(CodeAt(text.substr(at), &length));
    if (script != running || script == Script::kHanKana) {
      end_run();
      if (script == Script::kHanKana) ++words[script];
      if (script != Script::kNone && script != Script::kHanKana) {
        running = script;
        command = before == '\\';
      }
    }
    if (running != Script::kNone) ++letters;
    before = text[at];
  }
  end_run();
  int64_t all = 0, most = 0;
  for (const auto& [script, count] : words) {
    all += count;
    most = std::max(most, count);
  }
  return all == 0 ? 0 : 1 - static_cast<double>(most) / static_cast<double>(all);
}

double RepeatedShare(std::string_view text, int ngram) {
  std::string joined;  // a line feed follows each word, so an n-gram is a substring
  std::vector<size_t> starts;
  bool in_word = false;
  const auto end_word = [&] {
    if (in_word) joined.push_back('\n');
    in_word = false;
  };
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const Script script = ScriptOf(CodeAt(text.substr(at), &length));
    const bool alone = script == Script::kHanKana;
    if (alone || IsBlank(text[at])) end_word();
    if (IsBlank(text[at])) continue;
    if (!in_word) starts.push_back(joined.size());
    joined.append(text.substr(at, length));
    in_word = true;
    if (alone) end_word();
  }
  end_word();
  const size_t n = static_cast<size_t>(std::max(ngram, 1));
  if (starts.size() < n) return 0;
  const size_t grams = starts.size() - n + 1;
  starts.push_back(joined.size());
  std::unordered_set<std::string_view> distinct;
  for (size_t i = 0; i < grams; ++i) {
    distinct.insert(std::string_view(joined).substr(starts[i], starts[i + n] - starts[i]));
  }
  return 1 - static_cast<double>(distinct.size()) / static_cast<double>(grams);
}

int64_t LongestParagraph(std::string_view text) {
  int64_t longest = 0, now = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (std::all_of(line.begin(), line.end(), IsBlank)) {
      now = 0;
    } else {
      for (size_t at = 0, length = 0; at < line.size(); at += length, ++now) {
        CodeAt(line.substr(at), &length);
      }
    }
    longest = std::max(longest, now);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return longest;
}

bool HasCodeBlock(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    while (!line.empty() && IsBlank(line.front())) line.remove_prefix(1);
    if (line.substr(0, 3) == "```" || line.substr(0, 3) == "~~~") return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

std::string NormalizedText(std::string_view text) {
  std::string folded;
  bool gap = false;
  for (const char c : text) {
    if (IsBlank(c)) {
      gap = !folded.empty();
      continue;
    }
    if (gap) folded.push_back(' ');
    gap = false;
    folded.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return folded;
}

std::string DropReason(const Group& group, int member, const SampleConfig& config) {
  const Completion& c = group.completions(member);
  const reward::v1::ScoreResult& score = group.scores(member);
  const std::string_view text(c.text());
  // Without a verdict a sample is neither right nor wrong.
  if (score.status() != reward::v1::ScoreResult::SCORED) return "not_scored";
  if (config.only_right() && !IsRight(score)) return "wrong";
  if (c.finish_reason() != Completion::STOP) return "truncated";
  if (!IsUtf8(text)) return "not_utf8";
  if (std::all_of(text.begin(), text.end(), IsBlank)) return "empty";
  if (c.ids_size() < config.min_tokens()) return "too_short";
  if (config.max_tokens() > 0 && c.ids_size() > config.max_tokens()) return "too_long";
  if (OtherScriptShare(text) > config.max_other_script()) return "other_script";
  if (RepeatedShare(text, config.ngram()) > config.max_repetition()) return "repetition";
  if (config.max_paragraph() > 0 && LongestParagraph(text) > config.max_paragraph()) {
    return "long_paragraph";
  }
  if (config.drop_code_blocks() && HasCodeBlock(text)) return "code_block";
  return "";
}

void CheckSampleConfig(const SampleConfig& config) {
  USER_CHECK(config.max_tokens() == 0 || config.max_tokens() >= config.min_tokens(),
             "[config] sample.max_tokens must not be below sample.min_tokens, because no sample "
             "would pass",
             Named("max_tokens", config.max_tokens()), Named("min_tokens", config.min_tokens()));
}

std::string SeenSamples::Add(const Prompt& prompt, const Completion& completion) {
  std::string ids;
  for (const uint32_t id : completion.ids()) {
    ids.append(reinterpret_cast<const char*>(&id), sizeof(id));
  }
  const std::string by_ids = Key("ids", prompt.text(), ids);
  if (seen_.count(by_ids) == 1) return "duplicate_ids";
  const std::string by_text =
      Key("text", NormalizedText(prompt.text()), NormalizedText(completion.text()));
  if (!seen_.insert(by_text).second) return "duplicate_text";
  seen_.insert(by_ids);
  return "";
}

}  // namespace grouper
