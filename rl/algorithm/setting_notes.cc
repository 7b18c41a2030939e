#include "rl/algorithm/setting_notes.h"

#include <algorithm>

#include "base/error.h"
#include "proto/did_you_mean.h"
#include "rl/algorithm/length_schedule.h"
#include "rl/algorithm/profile.h"

namespace grouper {
namespace {

class Notes {
 public:
  // Says that the setting has no effect if it is `written`.
  void Idle(bool written, const std::string& setting, const std::string& why) {
    if (written) Say(setting + " has no effect: " + why);
  }
  void Say(const std::string& words) { lines_.push_back("[config] " + words); }
  std::vector<std::string> Take() { return std::move(lines_); }

 private:
  std::vector<std::string> lines_;
};

bool IsFile(const std::string& data) { return !data.empty() && data.rfind("tasks:", 0) != 0; }

bool HasExperts(const PolicyConfig& policy) {
  return policy.moe().experts() > 0 && policy.dense_layers() < policy.layers();
}

void AddKl(const LossConfig& own, const LossConfig& loss, Notes* notes) {
  if (loss.kl() != LossConfig::NONE) return;
  std::vector<std::string> idle;
  if (own.kl_beta() > 0 && own.has_kl_beta()) idle.push_back("loss.kl_beta");
  if (own.kl_unbiased()) idle.push_back("loss.kl_unbiased");
  if (own.kl_place() != LossConfig::IN_LOSS) idle.push_back("loss.kl_place");
  if (own.kl_clamp_in() > 0) idle.push_back("loss.kl_clamp_in");
  if (own.kl_clamp_out() > 0) idle.push_back("loss.kl_clamp_out");
  if (idle.empty()) return;
  // Who writes `kl: NONE` has turned the term off on purpose.
  if (own.has_kl()) return notes->Idle(true, JoinNames(idle), "loss.kl is NONE");
  ThrowUser("[config] there is no KL term, because loss.kl is not set, but settings of it are: " +
            JoinNames(idle) + "; set loss.kl to K1, K2 or K3, or remove them");
}

void AddLoss(const LossConfig& own, const LossConfig& loss, Notes* notes) {
  AddKl(own, loss, notes);
  const bool reinforce = loss.surrogate() == LossConfig::REINFORCE;
  const std::string why = "loss.surrogate REINFORCE has no ratio";
  notes->Idle(reinforce && own.has_clip_low(), "loss.clip_low", why);
  notes->Idle(reinforce && own.has_clip_high(), "loss.clip_high", why);
  const bool by_sequence =
      loss.surrogate() == LossConfig::GSPO || loss.surrogate() == LossConfig::GSPO_TOKEN;
  if (by_sequence && loss.aggregation() != LossConfig::SEQ) {
    notes->Say("GSPO is defined with loss.aggregation SEQ, but this run uses " +
               LossConfig::Aggregation_Name(loss.aggregation()));
  }
}

void AddAdvantage(const AdvantageConfig& own, AdvantageConfig::Kind kind, Notes* notes) {
  const std::string why = "advantage.kind is " + AdvantageConfig::Kind_Name(kind);
  notes->Idle(own.has_std() && kind != AdvantageConfig::GRPO, "advantage.std", why);
  notes->Idle(own.has_eps() && kind != AdvantageConfig::GRPO && kind != AdvantageConfig::LOO_STD,
              "advantage.eps", why);
}

void AddUpdates(const Config& own, const Config& config, Notes* notes) {
  const std::string why = "batch.minibatches is 1";
  if (config.batch().minibatches() == 1) {
    notes->Idle(own.batch().has_split(), "batch.split", why);
    notes->Idle(own.batch().has_routing_replay(), "batch.routing_replay", why);
    notes->Idle(own.has_check_audit_every(), "check_audit_every", why);
  } else {
    notes->Idle(own.batch().routing_replay() == BatchConfig::REPLAY && !HasExperts(config.policy()),
                "batch.routing_replay", "the policy has no experts");
  }
  const OptimizerConfig& optimizer = own.optimizer();
  notes->Idle(
      optimizer.has_final_share() && config.optimizer().schedule() == OptimizerConfig::CONSTANT,
      "optimizer.final_share", "optimizer.schedule is CONSTANT");
  const MoeConfig& moe = config.policy().moe();
  notes->Idle(
      optimizer.router_bias_step() > 0 && (!HasExperts(config.policy()) || !moe.choice_bias()),
      "optimizer.router_bias_step",
      "the policy has no router with a choice bias (policy.moe.choice_bias)");
  const int64_t updates = config.steps() * config.batch().minibatches();
  if (optimizer.warmup_updates() > updates && updates > 0) {
    notes->Say("optimizer.lr is never reached: optimizer.warmup_updates is " +
               std::to_string(optimizer.warmup_updates()) + ", but the run makes only " +
               std::to_string(updates) + " updates");
  }
  notes->Idle(own.checkpoint_keep_every() > 0 && config.checkpoint_every() == 0,
              "checkpoint_keep_every", "checkpoint_every is 0, so only the end is saved");
}

void AddData(const Config& own, const Config& config, Notes* notes) {
  const DataConfig& data = config.data();
  const bool rows = IsFile(data.train());
  if (rows && data.train() == data.eval()) {
    notes->Say(
        "data.eval is the file of data.train, so evaluations ask what the run trains on: name "
        "another file, or set data.holdout_every and data.eval=\"\"");
  }
  if (rows && data.holdout_every() > 0 && !data.eval().empty()) {
    notes->Say(
        "the lines that data.holdout_every sets aside are not evaluated, because data.eval "
        "is \"" +
        Excerpt(data.eval(), 200) + "\"; set data.eval=\"\" to evaluate them");
  }
  if (!rows && !IsFile(data.eval())) {
    const std::string why = "no file is read, because data.train names tasks";
    notes->Idle(own.data().has_gold_after(), "data.gold_after", why);
    notes->Idle(own.data().has_prompt_template(), "data.prompt_template", why);
    notes->Idle(own.data().max_rows() > 0, "data.max_rows", why);
    notes->Idle(own.data().holdout_every() > 0, "data.holdout_every", why);
  }
  if (data.eval().empty() && !(rows && data.holdout_every() > 0)) {
    const std::string why = "there is nothing to evaluate; set data.eval or data.holdout_every";
    notes->Idle(own.has_eval(), "eval", why);
    notes->Idle(own.eval_every() > 0 && own.has_eval_every(), "eval_every", why);
  }
}

void AddSampling(const Config& own, const Config& config, Notes* notes) {
  notes->Idle(own.dynamic_sampling().has_max_rounds() && !config.dynamic_sampling().enabled(),
              "dynamic_sampling.max_rounds", "dynamic_sampling.enabled is false");
  const int64_t updates = config.steps() * config.batch().minibatches();
  for (int i = 0; i < config.sampling().length_schedule_size(); ++i) {
    const int64_t from = config.sampling().length_schedule(i).from_update();
    notes->Idle(from >= updates, "sampling.length_schedule[" + std::to_string(i) + "]",
                "it begins at update " + std::to_string(from) + ", but the run makes only " +
                    std::to_string(updates));
  }
  notes->Idle(own.reward().has_service_threads() && config.reward().addresses_size() > 0,
              "reward.service_threads", "the services of reward.addresses are used");
}

void AddComponent(const Component& c, const std::string& path, int64_t cap, Notes* notes) {
  const std::string why = "a component " + Excerpt(c.name()) + " does not use it";
  const bool accuracy = c.name() == "accuracy", overlong = c.name() == "overlong";
  notes->Idle(c.has_right() && !accuracy, path + ".right", why);
  notes->Idle(c.has_wrong() && !accuracy, path + ".wrong", why);
  notes->Idle(c.has_max_tokens() && !overlong, path + ".max_tokens", why);
  notes->Idle(c.has_ramp_tokens() && !overlong, path + ".ramp_tokens", why);
  notes->Idle(c.has_ngram() && c.name() != "repetition", path + ".ngram", why);
  if (!overlong || c.weight() == 0) return;
  const std::string longest =
      "no completion is longer than " + std::to_string(cap) + " tokens (sampling.max_new_tokens)";
  if (c.max_tokens() - c.ramp_tokens() >= cap) {
    notes->Idle(
        true, path + " (overlong)",
        longest + ", and it begins above " + std::to_string(c.max_tokens() - c.ramp_tokens()));
  } else if (c.max_tokens() > cap) {
    notes->Say(path + " (overlong) never reaches -1: " + longest + ", and its max_tokens is " +
               std::to_string(c.max_tokens()));
  }
}

void AddRubrics(const Config& config, Notes* notes) {
  for (int i = 0; i < config.reward().rubric_size(); ++i) {
    const Rubric& rubric = config.reward().rubric(i);
    const std::string path = "reward.rubric[" + std::to_string(i) + "]";
    notes->Idle(rubric.has_marker() && rubric.extraction() != Rubric::LINE, path + ".marker",
                "extraction is not LINE");
    for (int k = 0; k < rubric.component_size(); ++k) {
      AddComponent(rubric.component(k), path + ".component[" + std::to_string(k) + "]",
                   LongestCap(config.sampling()), notes);
    }
  }
}

}  // namespace

std::vector<std::string> SettingNotes(const Config& config) {
  const Config own = WithoutProfile(config);
  Notes notes;
  AddLoss(own.loss(), config.loss(), &notes);
  AddAdvantage(own.advantage(), config.advantage().kind(), &notes);
  AddUpdates(own, config, &notes);
  AddSampling(own, config, &notes);
  AddData(own, config, &notes);
  AddRubrics(config, &notes);
  return notes.Take();
}

}  // namespace grouper
