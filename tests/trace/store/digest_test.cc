#include "trace/store/digest.h"

#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"

namespace grouper {
namespace {

std::string DigestOf(const std::vector<Group>& groups) {
  TraceDigest digest;
  for (const Group& group : groups) digest.Add(group);
  return digest.FinishHex();
}

// The value with its lowest bit flipped.
template <typename T>
T Flip(T value) {
  unsigned char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  bytes[0] ^= 1;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

void FlipByte(std::string* bytes, size_t at) {
  bytes->at(at) = static_cast<char>(bytes->at(at) ^ 1);
}

struct Change {
  const char* name;
  std::function<void(Group*)> apply;
};

using reward::v1::ScoreResult;

std::vector<Change> CoveredChanges() {
  const auto second = [](Group* g) { return g->mutable_completions(1); };
  const auto score = [](Group* g) { return g->mutable_scores(0); };
  return {
      {"step", [](Group* g) { g->set_step(Flip(g->step())); }},
      {"prompt ordinal", [](Group* g) { g->mutable_prompt()->set_ordinal(9); }},
      {"prompt text", [](Group* g) { FlipByte(g->mutable_prompt()->mutable_text(), 3); }},
      {"prefill", [](Group* g) { FlipByte(g->mutable_prompt()->mutable_prefill(), 0); }},
      {"prompt ids", [](Group* g) { g->mutable_prompt()->set_ids(2, Flip(g->prompt().ids(2))); }},
      {"prompt experts", [](Group* g) { FlipByte(g->mutable_prompt_experts(), 1); }},
      {"rollout id", [=](Group* g) { second(g)->set_rollout_id(77); }},
      {"index", [=](Group* g) { second(g)->set_index(0); }},
      {"ids", [=](Group* g) { second(g)->set_ids(4, Flip(second(g)->ids(4))); }},
      {"id added", [=](Group* g) { second(g)->add_ids(0); }},
      {"text", [=](Group* g) { FlipByte(second(g)->mutable_text(), 2); }},
      {"text_ends", [=](Group* g) { second(g)->set_text_ends(0, 0); }},
      {"log-prob",
       [=](Group* g) {
         second(g)->set_rollout_log_probs(6, Flip(second(g)->rollout_log_probs(6)));
       }},
      {"sign of a zero log-prob", [=](Group* g) { second(g)->set_rollout_log_probs(0, -0.0f); }},
      {"entropy", [=](Group* g) { second(g)->set_entropies(3, Flip(second(g)->entropies(3))); }},
      {"experts", [=](Group* g) { FlipByte(second(g)->mutable_experts(), 5); }},
      {"finish reason", [=](Group* g) { second(g)->set_finish_reason(Completion::STOP); }},
      {"policy version", [=](Group* g) { second(g)->mutable_spans(0)->set_policy_version(10); }},
      {"weights digest",
       [=](Group* g) { second(g)->mutable_spans(0)->set_weights_digest(0x1235); }},
      {"span end", [=](Group* g) { second(g)->mutable_spans(0)->set_end(3); }},
      {"sampled", [=](Group* g) { second(g)->mutable_spans(0)->set_sampled(false); }},
      {"status", [=](Group* g) { score(g)->set_status(ScoreResult::INTERNAL); }},
      {"verdict", [=](Group* g) { score(g)->set_verdict(ScoreResult::WRONG); }},
      {"reason", [=](Group* g) { FlipByte(score(g)->mutable_reason(), 0); }},
      {"reward", [=](Group* g) { score(g)->set_reward(Flip(score(g)->reward())); }},
      {"no reward", [=](Group* g) { g->mutable_scores(1)->clear_reward(); }},
      {"component", [=](Group* g) { (*score(g)->mutable_components())["format"] = Flip(0.5); }},
      {"component name",
       [=](Group* g) {
         score(g)->mutable_components()->erase("format");
         (*score(g)->mutable_components())["formau"] = 0.5;
       }},
      {"dropped", [](Group* g) { g->set_dropped("surplus"); }},
      {"KL penalty", [](Group* g) { g->add_kl_penalties(0); }},
      {"advantage", [](Group* g) { g->set_advantages(0, Flip(g->advantages(0))); }},
      {"members swapped", [](Group* g) { g->mutable_completions()->SwapElements(0, 1); }},
  };
}

TEST(TraceDigest, EveryCoveredBitChangesIt) {
  Group base = SampleGroup(3, 6);
  base.mutable_completions(1)->set_rollout_log_probs(0, 0.0f);
  const std::string before = DigestOf({base});
  EXPECT_EQ(before.size(), 64u);
  std::vector<std::pair<std::string, std::string>> seen;
  for (const Change& change : CoveredChanges()) {
    Group group = base;
    change.apply(&group);
    const std::string after = DigestOf({group});
    EXPECT_NE(after, before) << change.name;
    for (const auto& [name, digest] : seen) EXPECT_NE(after, digest) << change.name << name;
    seen.emplace_back(change.name, after);
  }
}

TEST(TraceDigest, TimesHostsAndTheCacheDoNotChangeIt) {
  const Group base = SampleGroup(3, 6);
  Group group = base;
  for (ScoreResult& score : *group.mutable_scores()) {
    score.mutable_timings()->set_score_seconds(9.5);
    score.mutable_timings()->set_queue_seconds(2);
    score.set_cached(true);
    score.set_item_id("elsewhere-" + score.item_id());
    score.set_grader_version("2");
    score.set_rubric_hash("h");
  }
  group.mutable_prompt()->set_task_id("/other/train.jsonl:12");
  group.mutable_prompt()->set_rubric("renamed");
  EXPECT_EQ(DigestOf({group}), DigestOf({base}));
}

TEST(TraceDigest, BordersAndOrderCount) {
  const Group a = SampleGroup(0, 0);
  const Group b = SampleGroup(0, 1);
  EXPECT_NE(DigestOf({a, b}), DigestOf({b, a}));
  EXPECT_NE(DigestOf({a}), DigestOf({a, a}));
  EXPECT_NE(DigestOf({}), DigestOf({a}));
  // A byte that moves over the border of two fields.
  Group moved = a;
  moved.mutable_prompt()->set_text("17 + 25 = ?<");
  moved.mutable_prompt()->set_prefill("think>");
  EXPECT_NE(DigestOf({moved}), DigestOf({a}));
}

// The serialization is a promise: a change of these digits means new digests for old traces.
TEST(TraceDigest, EmptyTraceHasTheDocumentedBytes) {
  Sha256 expected;
  expected.Update("grouper trace digest 1\n");
  expected.Update(std::string_view("E\0\0\0\0\0\0\0\0", 9));
  EXPECT_EQ(DigestOf({}), expected.FinishHex());
}

TEST(TraceDigest, Counts) {
  TraceDigest digest;
  digest.Add(SampleGroup(0, 0));
  digest.Add(SampleGroup(0, 1));
  EXPECT_EQ(digest.groups(), 2);
  EXPECT_EQ(digest.completions(), 6);
  EXPECT_EQ(digest.tokens(), 2 * (14 + 7 + 2));
}

}  // namespace
}  // namespace grouper
