#include "trace/view/render.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "proto/expert_ids.h"
#include "trace/view/escape.h"
#include "trace/view/table.h"

namespace grouper {
namespace {

using reward::v1::ScoreResult;

// From light to dark. Black text stays readable on all of them.
constexpr std::array<int, 8> kLogProbRamp = {0, 230, 229, 222, 216, 210, 203, 196};
constexpr std::array<int, 8> kEntropyRamp = {0, 195, 159, 123, 117, 147, 141, 135};
constexpr int kNanBackground = 250;

int Bucket(const std::array<int, 8>& ramp, double share) {
  if (std::isnan(share)) return kNanBackground;
  const double last = static_cast<double>(ramp.size() - 1);
  return ramp[static_cast<size_t>(std::clamp(std::ceil(share * last), 0.0, last))];
}

// How a piece of text looks. Neighbours with equal looks share one escape sequence.
struct Look {
  int background = 0;   // entry of the palette, 0 for none
  bool escape = false;  // reversed: an escape that replaces a character
  bool answer = false;  // underlined: part of the span that the answer was read from
  bool operator==(const Look&) const = default;
};

class Ink {
 public:
  Ink(bool on, std::ostream* out) : on_(on), out_(out) {}
  void Set(const Look& look) {
    if (!on_ || look == now_) return;
    if (now_ != Look{}) *out_ << "\x1b[0m";
    if (look.background > 0) *out_ << "\x1b[48;5;" << look.background << "m\x1b[38;5;16m";
    if (look.escape) *out_ << "\x1b[7m";
    if (look.answer) *out_ << "\x1b[4m";
    now_ = look;
  }
  void Reset() { Set({}); }

 private:
  bool on_;
  std::ostream* out_;
  Look now_;
};

int Background(const Completion& completion, int token, TokenColor color) {
  if (color == TokenColor::kLogProb && token < completion.rollout_log_probs_size()) {
    return LogProbBackground(completion.rollout_log_probs(token));
  }
  if (color == TokenColor::kEntropy && token < completion.entropies_size()) {
    return EntropyBackground(completion.entropies(token));
  }
  return 0;
}

constexpr std::string_view kIndent = "  ";

// Prints text without colours. Line breaks are kept and every line is indented.
void PrintBlock(std::string_view text, std::ostream& out) {
  out << kIndent;
  size_t at = 0;
  for (ShownUnit unit; NextShown(text, &at, &unit);) {
    if (unit.kind == ShownUnit::Kind::kNewline) {
      out << '\n' << kIndent;
    } else {
      out << unit.shown;
    }
  }
  out << '\n';
}

// A character has the colour of the token that holds its first byte.
void PrintText(const Completion& completion, const ScoreResult* score, TokenColor color,
               std::ostream& out) {
  Ink ink(color != TokenColor::kOff, &out);
  out << kIndent;
  int token = 0;
  size_t at = 0;
  for (ShownUnit unit; NextShown(completion.text(), &at, &unit);) {
    while (token < completion.text_ends_size() && completion.text_ends(token) <= unit.begin) {
      ++token;
    }
    if (unit.kind == ShownUnit::Kind::kNewline) {
      ink.Reset();
      out << '\n' << kIndent;
      continue;
    }
    Look look;
    look.background = Background(completion, token, color);
    look.escape = unit.kind == ShownUnit::Kind::kEscaped;
    look.answer = score != nullptr && score->has_extraction() &&
                  unit.begin >= score->extraction().begin() &&
                  unit.begin < score->extraction().end();
    ink.Set(look);
    out << unit.shown;
  }
  ink.Reset();
  out << '\n';
}

std::string ExpertList(const Completion& completion, int token) {
  const size_t tokens = static_cast<size_t>(completion.ids_size());
  const ExpertIds experts(completion.experts(), completion.expert_id_bytes());
  if (experts.size() == 0 || tokens == 0 || experts.size() % tokens != 0) return "";
  const size_t width = experts.size() / tokens;
  std::string list;
  for (size_t i = 0; i < width; ++i) {
    if (i > 0) list += ' ';
    list += std::to_string(experts[static_cast<size_t>(token) * width + i]);
  }
  return list;
}

std::string TokenText(const Completion& completion, int token) {
  if (token >= completion.text_ends_size()) return "";
  const size_t size = completion.text().size();
  const size_t begin = token == 0 ? 0 : std::min<size_t>(completion.text_ends(token - 1), size);
  const size_t end = std::clamp<size_t>(completion.text_ends(token), begin, size);
  return "\"" + EscapeForTerminal(std::string_view(completion.text()).substr(begin, end - begin)) +
         "\"";
}

void PrintTokens(const Completion& completion, std::ostream& out) {
  using Align = Table::Align;
  Table table({{"token"},
               {"id"},
               {"log-prob"},
               {"entropy"},
               {"text", Align::kLeft},
               {"experts (layer by layer)", Align::kLeft}});
  for (int t = 0; t < completion.ids_size(); ++t) {
    const bool has_log_prob = t < completion.rollout_log_probs_size();
    const bool has_entropy = t < completion.entropies_size();
    table.AddRow({std::to_string(t), std::to_string(completion.ids(t)),
                  has_log_prob ? FormatFixed(completion.rollout_log_probs(t), 6) : "-",
                  has_entropy ? FormatFixed(completion.entropies(t), 6) : "-",
                  TokenText(completion, t), ExpertList(completion, t)});
  }
  table.Print(out);
}

template <typename Values>
std::string MeanOf(const Values& values) {
  double sum = 0;
  for (const float value : values) sum += value;
  return values.empty() ? "-" : FormatFixed(sum / static_cast<double>(values.size()), 3);
}

std::string PolicyVersions(const Completion& completion) {
  std::string versions;
  for (const PolicySpan& span : completion.spans()) {
    if (!versions.empty()) versions += ", ";
    versions += std::to_string(span.policy_version());
    if (completion.spans_size() > 1) {
      versions += " on [" + std::to_string(span.begin()) + ", " + std::to_string(span.end()) + ")";
    }
    if (!span.sampled()) versions += " (not sampled)";
  }
  return versions.empty() ? "-" : versions;
}

void PrintScore(const ScoreResult& score, std::ostream& out) {
  out << "reward " << (score.has_reward() ? FormatShort(score.reward()) : "-") << "  "
      << VerdictName(score);
  if (!score.reason().empty()) out << " (" << EscapeForTerminal(score.reason()) << ")";
}

void PrintDetails(const ScoreResult& score, std::ostream& out) {
  if (!score.components().empty()) {
    const std::map<std::string, double> sorted(score.components().begin(),
                                               score.components().end());
    out << "  components";
    for (const auto& [name, value] : sorted) {
      out << "  " << EscapeForTerminal(name) << "=" << FormatShort(value);
    }
    out << '\n';
  }
  const reward::v1::Extraction& found = score.extraction();
  if (!found.rung().empty()) {
    out << "  answer \"" << EscapeForTerminal(found.answer()) << "\" by rule "
        << EscapeForTerminal(found.rung()) << ", bytes [" << found.begin() << ", " << found.end()
        << ")\n";
  }
  for (const reward::v1::TestVerdict& test : score.tests()) {
    out << "  test " << EscapeForTerminal(test.verdict());
    if (!test.detail().empty()) out << ": " << EscapeForTerminal(test.detail(), 200);
    out << '\n';
  }
  for (const std::string& flag : score.flags()) out << "  flag " << EscapeForTerminal(flag) << '\n';
}

void PrintCompletion(const Group& group, int member, const RenderOptions& options,
                     std::ostream& out) {
  const Completion& completion = group.completions(member);
  const ScoreResult* score = member < group.scores_size() ? &group.scores(member) : nullptr;
  out << "\n--- completion " << completion.index() << ", rollout " << completion.rollout_id()
      << ": ";
  if (score != nullptr) {
    PrintScore(*score, out);
  } else {
    out << "no score";
  }
  if (member < group.advantages_size()) {
    out << "  advantage " << FormatShort(group.advantages(member));
  }
  if (member < group.kl_penalties_size()) {
    out << "  KL penalty " << FormatShort(group.kl_penalties(member));
  }
  out << '\n';
  if (score != nullptr) PrintDetails(*score, out);
  if (completion.ids_size() == 0) {
    out << "  (the completion's own frame is not in this trace)\n";
    return;
  }
  out << "  finish " << Completion::FinishReason_Name(completion.finish_reason()) << "  policy "
      << PolicyVersions(completion) << "  tokens " << completion.ids_size() << "  log-prob mean "
      << MeanOf(completion.rollout_log_probs()) << "  entropy mean "
      << MeanOf(completion.entropies()) << "\n\n";
  PrintText(completion, score, options.color, out);
  if (options.tokens) {
    out << '\n';
    PrintTokens(completion, out);
  }
}

void PrintLegend(TokenColor color, std::ostream& out) {
  if (color == TokenColor::kOff) return;
  const bool log_prob = color == TokenColor::kLogProb;
  Ink ink(true, &out);
  out << "colour: " << (log_prob ? "log-prob" : "entropy") << ' ';
  const auto& ramp = log_prob ? kLogProbRamp : kEntropyRamp;
  for (size_t i = 0; i < ramp.size(); ++i) {  // each band is labelled with its far end
    const double value =
        (log_prob ? -6.0 : 3.0) * static_cast<double>(i) / (kLogProbRamp.size() - 1);
    ink.Set({.background = ramp[i]});
    out << ' ' << (i == 0 ? "0" : FormatFixed(value, 1)) << ' ';
  }
  ink.Reset();
  out << "  (underlined: the answer; reversed: an escaped character)\n";
}

}  // namespace

int LogProbBackground(float log_prob) { return Bucket(kLogProbRamp, log_prob / -6.0); }
int EntropyBackground(float entropy) { return Bucket(kEntropyRamp, entropy / 3.0); }

std::string VerdictName(const ScoreResult& score) {
  const bool scored = score.status() == ScoreResult::SCORED;
  std::string name = scored ? ScoreResult::Verdict_Name(score.verdict())
                            : ScoreResult::Status_Name(score.status());
  if (!name.empty()) return name;
  return scored ? "VERDICT_" + std::to_string(score.verdict())
                : "STATUS_" + std::to_string(score.status());
}

std::string VerdictSummary(const Group& group) {
  std::map<std::string, int> counts;
  for (const ScoreResult& score : group.scores()) ++counts[VerdictName(score)];
  std::string summary;
  for (const auto& [name, count] : counts) {
    summary += (summary.empty() ? "" : ", ") + std::to_string(count) + " " + name;
  }
  return summary.empty() ? "no scores" : summary;
}

void RenderGroup(const GroupEntry& entry, const RenderOptions& options, std::ostream& out) {
  const Group& group = entry.group;
  const Prompt& prompt = group.prompt();
  out << "step " << group.step() << "  group " << entry.index_in_step << "  prompt "
      << prompt.ordinal() << "  task " << EscapeForTerminal(prompt.task_id()) << "  source "
      << EscapeForTerminal(prompt.data_source()) << "  rubric "
      << EscapeForTerminal(prompt.rubric()) << '\n';
  out << group.completions_size() << " completions: " << VerdictSummary(group) << "  reward mean "
      << FormatShort(group.reward_mean()) << "  std " << FormatShort(group.reward_std())
      << (group.no_signal() ? "  no signal" : "")
      << (group.dropped().empty() ? "" : "  not trained on: " + EscapeForTerminal(group.dropped()))
      << '\n';
  PrintLegend(options.color, out);
  out << "\n--- prompt, " << prompt.ids_size() << " tokens";
  for (const std::string& gold : prompt.math().golds()) {
    out << "  gold \"" << EscapeForTerminal(gold, 200) << '"';
  }
  out << '\n';
  PrintBlock(prompt.text(), out);
  if (!prompt.prefill().empty()) {
    out << "  prefill \"" << EscapeForTerminal(prompt.prefill()) << "\"\n";
  }
  for (int member = 0; member < group.completions_size(); ++member) {
    const uint64_t id = group.completions(member).rollout_id();
    if (options.rollout_id && id != *options.rollout_id) continue;
    PrintCompletion(group, member, options, out);
  }
}

}  // namespace grouper
