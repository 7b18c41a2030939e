// Settings without effect are said by name, and only those that a person wrote.
#include "rl/algorithm/setting_notes.h"

#include <gtest/gtest.h>

#include "proto/textproto.h"
#include "rl/algorithm/profile.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

std::vector<std::string> NotesOf(const std::string& text) {
  Config config;
  MergeTextproto(text, "text", &config);
  ApplyProfile(&config);
  return SettingNotes(config);
}

struct Note {
  const char* text;
  const char* words;  // of the one note
};
constexpr Note kNotes[] = {
    {"loss { kl: NONE kl_beta: 0.1 }", "loss.kl_beta has no effect: loss.kl is NONE"},
    {"profile: 'r1' loss { kl: NONE kl_beta: 0.1 }", "loss.kl_beta has no effect"},
    {"loss { surrogate: REINFORCE clip_low: 0.1 }", "loss.clip_low has no effect"},
    {"loss { surrogate: GSPO aggregation: TOKEN }", "loss.aggregation SEQ"},
    {"advantage { kind: CENTERED std: POPULATION }",
     "advantage.std has no effect: advantage.kind is CENTERED"},
    {"advantage { kind: RLOO eps: 1e-4 }", "advantage.eps has no effect"},
    {"batch { split: BY_GROUP }", "batch.split has no effect: batch.minibatches is 1"},
    {"check_audit_every: 3", "check_audit_every has no effect"},
    {"batch { minibatches: 2 routing_replay: REPLAY } policy { moe { experts: 0 } }",
     "batch.routing_replay has no effect"},
    {"optimizer { final_share: 0.5 }", "optimizer.final_share has no effect"},
    {"optimizer { router_bias_step: 0.1 } policy { moe { choice_bias: false } }",
     "optimizer.router_bias_step has no effect"},
    {"optimizer { warmup_updates: 101 }", "optimizer.lr is never reached"},
    {"checkpoint_every: 0 checkpoint_keep_every: 5", "checkpoint_keep_every has no effect"},
    {"dynamic_sampling { max_rounds: 3 }", "dynamic_sampling.max_rounds has no effect"},
    {"sampling { length_schedule { from_update: 100 max_new_tokens: 8 } }",
     "sampling.length_schedule[0] has no effect"},
    {"reward { addresses: 'a:1' service_threads: 4 }", "reward.service_threads has no effect"},
    {"data { train: 'a.jsonl' eval: 'a.jsonl' }", "data.eval is the file of data.train"},
    {"data { train: 'a.jsonl' eval: 'b.jsonl' holdout_every: 10 }", "data.holdout_every"},
    {"data { holdout_every: 10 }", "data.holdout_every has no effect"},
    {"data { prompt_template: '{question}!' }", "data.prompt_template has no effect"},
    {"data { eval: '' } eval { samples: 8 }", "eval has no effect: there is nothing to evaluate"},
    {"data { eval: '' } eval_every: 5", "eval_every has no effect"},
    {"reward { rubric { marker: 'A:' } }", "reward.rubric[0].marker has no effect"},
    {"reward { rubric { component { name: 'format' right: 2 } } }",
     "reward.rubric[0].component[0].right has no effect"},
    {"reward { rubric { component { name: 'overlong' max_tokens: 4096 ramp_tokens: 512 } } }",
     "reward.rubric[0].component[0] (overlong) has no effect"},
    {"reward { rubric { component { name: 'overlong' max_tokens: 70 ramp_tokens: 20 } } }",
     "(overlong) never reaches -1"},
};

TEST(SettingNotes, NameTheSettingThatHasNoEffect) {
  for (const Note& row : kNotes) {
    SCOPED_TRACE(row.text);
    const std::vector<std::string> notes = NotesOf(row.text);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find(row.words), std::string::npos) << notes[0];
    EXPECT_EQ(notes[0].rfind("[config] ", 0), 0u);
  }
}

TEST(SettingNotes, AreSilentOnDefaultsProfilesAndSettingsThatCount) {
  for (const char* text :
       {"", "profile: 'r1' steps: 900 batch { minibatches: 1 }", "profile: 'drgrpo'",
        "profile: 'dapo' loss { surrogate: REINFORCE dual_clip: 0 }", "loss { kl_beta: 0 }",
        "loss { kl: K3 kl_beta: 0.1 kl_place: IN_REWARD }", "eval { samples: 8 }",
        "advantage { kind: LOO_STD eps: 1e-4 }", "sft { steps: 5 } sample { samples: 3 }",
        "data { train: 'a.jsonl' eval: '' holdout_every: 10 } eval { samples: 8 }",
        "reward { rubric { component { name: 'overlong' max_tokens: 64 ramp_tokens: 32 } } }",
        "reward { rubric { component { name: 'overlong' weight: 0 max_tokens: 900 ramp_tokens: 1 } "
        "} }"}) {
    EXPECT_EQ(NotesOf(text), std::vector<std::string>{}) << text;
  }
}

TEST(SettingNotes, RefuseSettingsOfAKlTermThatNobodyTurnedOn) {
  const std::string message =
      testing_support::UserErrorOf([] { NotesOf("loss { kl_beta: 0.1 }"); });
  EXPECT_NE(message.find("loss.kl is not set"), std::string::npos) << message;
}

}  // namespace
}  // namespace grouper
