#include "rl/replay/step_difference.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "proto/expert_ids.h"

namespace grouper {
namespace {

// Compares groups and keeps the first difference.
class Finder {
 public:
  explicit Finder(int64_t experts_per_token) : slots_(std::max<int64_t>(1, experts_per_token)) {}

  void Compare(const Group& a, const Group& b);
  bool found() const { return first_.has_value(); }
  std::optional<StepDifference> Take() { return std::move(first_); }
  void Note(const std::string& field, const std::string& recorded, const std::string& made) {
    if (first_) return;
    first_ = {.step = 0,
              .place = Place(),
              .field = field,
              .recorded = recorded,
              .made = made,
              .rollout_id = rollout_,
              .position = position_,
              .tensor = {}};
  }

 private:
  std::string Place() const {
    std::string place =
        rollout_ ? "rollout " + std::to_string(*rollout_) : "prompt " + std::to_string(prompt_);
    if (position_) place += " position " + std::to_string(*position_);
    return place;
  }
  template <typename T>
  void Same(const std::string& field, const T& a, const T& b) {
    if (a != b) Note(field, std::to_string(a), std::to_string(b));
  }
  void SameText(const std::string& field, const std::string& a, const std::string& b) {
    if (a != b) Note(field, "\"" + Excerpt(a) + "\"", "\"" + Excerpt(b) + "\"");
  }
  template <typename Float>
  void SameBits(const std::string& field, Float a, Float b) {
    if (std::memcmp(&a, &b, sizeof(a)) != 0) Note(field, BitsText(a), BitsText(b));
  }
  void Token(const Completion& a, const Completion& b, int i);
  void Experts(const ExpertIds& a, const ExpertIds& b, int64_t row, int64_t rows);
  void Compare(const Completion& a, const Completion& b, int64_t prompt_tokens);

  int64_t slots_;
  uint64_t prompt_ = 0;
  std::optional<uint64_t> rollout_;
  std::optional<int64_t> position_;
  std::optional<StepDifference> first_;
};

template <typename T>
T At(const google::protobuf::RepeatedField<T>& values, int i) {
  return i < values.size() ? values.Get(i) : T{};
}

// Compares row `row` of `rows`. A row is [MoE layer][slot].
void Finder::Experts(const ExpertIds& a, const ExpertIds& b, int64_t row, int64_t rows) {
  if (a.size() != b.size())
    return Note("number of experts", std::to_string(a.size()), std::to_string(b.size()));
  const int64_t width = static_cast<int64_t>(a.size()) / std::max<int64_t>(1, rows);
  for (int64_t i = 0; i < width; ++i) {
    const size_t at = static_cast<size_t>(row * width + i);
    if (a[at] == b[at]) continue;
    return Note(
        "experts, MoE layer " + std::to_string(i / slots_) + " slot " + std::to_string(i % slots_),
        std::to_string(a[at]), std::to_string(b[at]));
  }
}

void Finder::Token(const Completion& a, const Completion& b, int i) {
  if (i >= a.ids_size() || i >= b.ids_size()) {
    return Note("ids", i < a.ids_size() ? std::to_string(a.ids(i)) : "(end)",
                i < b.ids_size() ? std::to_string(b.ids(i)) : "(end)");
  }
  Same("ids", a.ids(i), b.ids(i));
  SameBits("rollout_log_probs", At(a.rollout_log_probs(), i), At(b.rollout_log_probs(), i));
  SameBits("entropies", At(a.entropies(), i), At(b.entropies(), i));
  Same("kept_sizes", At(a.kept_sizes(), i), At(b.kept_sizes(), i));
  Experts({a.experts(), a.expert_id_bytes()}, {b.experts(), b.expert_id_bytes()}, i, a.ids_size());
  Same("text_ends", At(a.text_ends(), i), At(b.text_ends(), i));
}

void Finder::Compare(const Completion& a, const Completion& b, int64_t prompt_tokens) {
  for (int i = 0; i < std::max(a.ids_size(), b.ids_size()) && !found(); ++i) {
    position_ = prompt_tokens + i;
    Token(a, b, i);
  }
  position_.reset();
  Same("finish_reason", static_cast<int>(a.finish_reason()), static_cast<int>(b.finish_reason()));
  SameText("text", a.text(), b.text());
}

void Finder::Compare(const Group& a, const Group& b) {
  prompt_ = a.prompt().ordinal();
  Same("prompt", a.prompt().ordinal(), b.prompt().ordinal());
  SameText("prompt.task_id", a.prompt().task_id(), b.prompt().task_id());
  SameText("prompt.text", a.prompt().text(), b.prompt().text());
  for (int i = 0; i < std::max(a.prompt().ids_size(), b.prompt().ids_size()); ++i) {
    position_ = i;
    const auto id = [&](const Prompt& prompt) {
      return i < prompt.ids_size() ? std::to_string(prompt.ids(i)) : std::string("(end)");
    };
    if (id(a.prompt()) != id(b.prompt())) Note("prompt.ids", id(a.prompt()), id(b.prompt()));
  }
  position_.reset();
  Same("completions", a.completions_size(), b.completions_size());
  if (found()) return;
  for (int c = 0; c < a.completions_size(); ++c) {
    rollout_ = a.completions(c).rollout_id();
    Same("rollout_id", a.completions(c).rollout_id(), b.completions(c).rollout_id());
    for (int s = 0; s < std::min(a.completions(c).spans_size(), b.completions(c).spans_size());
         ++s) {
      const PolicySpan &then = a.completions(c).spans(s), &now = b.completions(c).spans(s);
      Same("policy_version", then.policy_version(), now.policy_version());
      SameBits("weights_digest", then.weights_digest(), now.weights_digest());
    }
  }
  rollout_.reset();
  for (int64_t row = 0; row + 1 < a.prompt().ids_size() && !found(); ++row) {
    position_ = row;
    Experts({a.prompt_experts(), a.expert_id_bytes()}, {b.prompt_experts(), b.expert_id_bytes()},
            row, a.prompt().ids_size() - 1);
  }
  position_.reset();
  for (int c = 0; c < a.completions_size() && !found(); ++c) {
    rollout_ = a.completions(c).rollout_id();
    Compare(a.completions(c), b.completions(c), a.prompt().ids_size());
  }
  for (int c = 0; c < a.completions_size(); ++c) {
    rollout_ = a.completions(c).rollout_id();
    SameBits("kl_penalties", At(a.kl_penalties(), c), At(b.kl_penalties(), c));
    SameBits("advantages", At(a.advantages(), c), At(b.advantages(), c));
  }
  rollout_.reset();
  SameBits("reward_mean", a.reward_mean(), b.reward_mean());
  SameBits("reward_std", a.reward_std(), b.reward_std());
  SameText("dropped", a.dropped(), b.dropped());
  Same("no_signal", static_cast<int>(a.no_signal()), static_cast<int>(b.no_signal()));
}

}  // namespace

std::string BitsText(float x) {
  char text[64];
  std::snprintf(text, sizeof(text), "0x%08x (%.9g)", std::bit_cast<uint32_t>(x),
                static_cast<double>(x));
  return text;
}

std::string BitsText(double x) {
  char text[64];
  std::snprintf(text, sizeof(text), "0x%016lx (%.17g)",
                static_cast<unsigned long>(std::bit_cast<uint64_t>(x)), x);
  return text;
}

std::string BitsText(uint64_t x) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%016lx", static_cast<unsigned long>(x));
  return text;
}

std::optional<StepDifference> FirstDifference(std::span<const Group> recorded,
                                              std::span<const Group> made,
                                              int64_t experts_per_token) {
  Finder finder(experts_per_token);
  for (size_t i = 0; i < std::min(recorded.size(), made.size()) && !finder.found(); ++i) {
    finder.Compare(recorded[i], made[i]);
  }
  if (!finder.found() && recorded.size() != made.size()) {
    finder.Note("groups of the step", std::to_string(recorded.size()), std::to_string(made.size()));
  }
  return finder.Take();
}

}  // namespace grouper
