#include "trace/command/command.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "gtest/gtest.h"
#include "tests/trace/sample_run.h"
#include "trace/query/stats.h"
#include "trace/store/digest.h"
#include "trace/store/trace_writer.h"

namespace grouper {
namespace {

// Three finished steps and a fourth without its record.
class TraceCommand : public testing::Test {
 protected:
  TraceCommand() {
    TraceWriter writer(run_.path(), SampleHeader());
    for (int64_t step = 0; step < 4; ++step) {
      std::vector<Group> groups = SampleStep(step);
      if (step == 1) groups[1].set_no_signal(true);
      writer.AppendStep(step, groups);
      StepRecord record = SampleStepRecord(step);
      if (step == 2) record.set_mismatches(5);
      if (step < 3) writer.AppendStepRecord(record);
    }
    writer.Sync();
  }

  template <typename Options>
  std::string Run(void (*command)(const Options&, std::ostream&, std::ostream&), Options options) {
    if (options.run.empty()) options.run = run_.path();
    std::ostringstream out, notes;
    command(options, out, notes);
    notes_ = notes.str();
    return out.str();
  }
  template <typename Options>
  std::string ErrorOf(void (*command)(const Options&, std::ostream&, std::ostream&),
                      Options options) {
    try {
      Run(command, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
      return error.message();
    }
    ADD_FAILURE() << "no error was thrown";
    return "";
  }
  static std::vector<Json> Lines(const std::string& text) {
    std::vector<Json> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(ParseJson(line, "line"));
    return lines;
  }

  TemporaryFolder run_;
  std::string notes_;
};

void ExpectHas(const std::string& text, const std::string& words) {
  EXPECT_NE(text.find(words), std::string::npos) << words << "\nin: " << text;
}

TEST_F(TraceCommand, LsTable) {
  const std::string text = Run(RunLs, LsOptions{});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 8);
  ExpectHas(text,
            "   1      0       2  calc:2   0.500  0.707    2     7.7   14  1 CORRECT, 1 NO_ANSWER");
  ExpectHas(text, "(no signal)");
  const std::string step = Run(RunLs, LsOptions{.run = "", .step = 2});
  EXPECT_EQ(std::count(step.begin(), step.end(), '\n'), 1 + 2);
  EXPECT_EQ(notes_, "");
}

TEST_F(TraceCommand, LsJson) {
  const std::vector<Json> lines = Lines(Run(RunLs, LsOptions{.run = "", .step = 1, .json = true}));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].Integer("step", "ls"), 1);
  EXPECT_EQ(lines[1].Integer("group", "ls"), 1);
  EXPECT_EQ(lines[1].Integer("prompt", "ls"), 3);
  EXPECT_EQ(lines[1].Integer("tokens_max", "ls"), 14);
  EXPECT_EQ(lines[1].At("verdicts", "ls").items.size(), 3u);
}

TEST_F(TraceCommand, ShowSelects) {
  ExpectHas(Run(RunShow, ShowOptions{}), "step 3  group 0  prompt 6");
  ShowOptions options;
  options.group = 1;
  ExpectHas(Run(RunShow, options), "step 3  group 1  prompt 7");
  options.step = 1;
  ExpectHas(Run(RunShow, options), "step 1  group 1  prompt 3");
  options = {};
  options.prompt_ordinal = 4;
  ExpectHas(Run(RunShow, options), "step 2  group 0  prompt 4");
  options = {};
  options.rollout_id = 16;
  const std::string one = Run(RunShow, options);
  ExpectHas(one, "step 2  group 1  prompt 5");
  ExpectHas(one, "rollout 16");
  EXPECT_EQ(one.find("rollout 15"), std::string::npos);
}

TEST_F(TraceCommand, ShowJson) {
  ShowOptions options;
  options.rollout_id = 0;
  options.json = true;
  Json json = ParseJson(Run(RunShow, options), "show");
  const Json& member = json.At("completions", "show").items.at(0);
  EXPECT_EQ(member.String("text", "show"), "so \\boxed{42}");
  EXPECT_EQ(member.String("verdict", "show"), "CORRECT");
  EXPECT_EQ(member.Number("reward", "show"), 1.0);
  EXPECT_EQ(member.Find("ids"), nullptr);
  options.tokens = true;
  json = ParseJson(Run(RunShow, options), "show");
  const Json& whole = json.At("completions", "show").items.at(0);
  EXPECT_EQ(whole.At("ids", "show").items.size(), 14u);
  EXPECT_EQ(whole.At("rollout_log_probs", "show").items.at(1).number, -0.5);
  // A failure has no reward: null, not 0.
  options.rollout_id = 2;
  json = ParseJson(Run(RunShow, options), "show");
  EXPECT_EQ(json.At("completions", "show").items.at(0).Find("reward")->kind, Json::Kind::kNull);
}

TEST_F(TraceCommand, ErrorsSayWhatThereIs) {
  LsOptions ls;
  ls.step = 9;
  ExpectHas(ErrorOf(RunLs, ls), "step 9 is not in the trace; it holds steps 0 to 3");
  ShowOptions show;
  show.step = 9;
  ExpectHas(ErrorOf(RunShow, show), "step 9 is not in the trace; it holds steps 0 to 3");
  show.step = 1;
  show.group = 2;
  ExpectHas(ErrorOf(RunShow, show), "group 2 is not in step 1; it holds groups 0 to 1");
  show.step.reset();
  ExpectHas(ErrorOf(RunShow, show), "group 2 is not in step 3");
  show = {};
  show.rollout_id = 24;
  ExpectHas(ErrorOf(RunShow, show), "rollout 24 is not in the trace; it holds");
  ExpectHas(ErrorOf(RunShow, show), "rollouts 0 to 23");
  show.prompt_ordinal = 0;
  ExpectHas(ErrorOf(RunShow, show), "name only one of --id");
  show = {};
  show.prompt_ordinal = 8;
  ExpectHas(ErrorOf(RunShow, show), "prompts 0 to 7");
  const std::string missing = run_.path() + "/nowhere";
  ExpectHas(ErrorOf(RunStats, StatsOptions{.run = missing}), missing);
  ExpectHas(ErrorOf(RunDigest, DigestOptions{.run = missing}), "no such run folder");
}

TEST_F(TraceCommand, StatsNumbers) {
  TraceReader reader(run_.path());
  const std::vector<StepStats> steps = CollectStats(&reader);
  ASSERT_EQ(steps.size(), 4u);
  const StepStats& step = steps[1];
  EXPECT_EQ(step.groups, 2);
  EXPECT_EQ(step.no_signal_groups, 1);
  EXPECT_EQ(step.completions, 6);
  EXPECT_EQ(step.tokens, 2 * (14 + 7 + 2));
  EXPECT_EQ(step.max_tokens, 14);
  EXPECT_EQ(step.length_mean(), 46.0 / 6);
  EXPECT_EQ(step.scored(), 4);
  EXPECT_EQ(step.statuses[reward::v1::ScoreResult::TIMEOUT], 2);
  EXPECT_EQ(step.reward_mean(), 0.5);  // the members that timed out do not count
  EXPECT_EQ(step.accuracy(), 0.5);
  EXPECT_EQ(step.truncated_share(), 2.0 / 6);
  // 0, 0.5, 1, 1.5 in turn: 14 tokens sum to 9.5, 7 to 4.5, 2 to 0.5.
  EXPECT_EQ(step.entropy_mean(), (9.5 + 4.5 + 0.5) / 23);
  EXPECT_EQ(steps[2].record->mismatches(), 5u);
  EXPECT_FALSE(steps[3].record.has_value());
}

TEST_F(TraceCommand, StatsCountAcAndUnknownStatuses) {
  using reward::v1::ScoreResult;
  Group group = SampleGroup(0, 0);
  group.mutable_scores(1)->set_verdict(ScoreResult::AC);
  group.mutable_scores(2)->set_status(static_cast<ScoreResult::Status>(99));
  StepStats stats;
  stats.Add(group);
  EXPECT_EQ(stats.accuracy(), 1.0);
  EXPECT_EQ(stats.statuses[ScoreResult::STATUS_UNSPECIFIED], 1);
  EXPECT_TRUE(std::isnan(StepStats().reward_mean()));
}

TEST_F(TraceCommand, StatsOutput) {
  const std::string table = Run(RunStats, StatsOptions{});
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 4);
  ExpectHas(table, "2 TIMEOUT");
  const std::vector<Json> lines = Lines(Run(RunStats, StatsOptions{.run = "", .json = true}));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2].Integer("mismatches", "stats"), 5);
  EXPECT_EQ(lines[2].Integer("checked_tokens", "stats"), 48);
  EXPECT_EQ(lines[0].Integer("policy_version", "stats"), 1);
  EXPECT_EQ(lines[0].Integer("timeout", "stats"), 2);
  EXPECT_EQ(lines[3].Find("mismatches")->kind, Json::Kind::kNull);
}

TEST_F(TraceCommand, DigestIsOfTheGroupsInOrder) {
  TraceDigest digest;
  for (int64_t step = 0; step < 4; ++step) {
    for (const Group& group : SampleStep(step)) digest.Add(group);
  }
  const std::string hex = digest.FinishHex();
  EXPECT_EQ(Run(RunDigest, DigestOptions{}), hex + "\n");
  const Json json = ParseJson(Run(RunDigest, DigestOptions{.run = "", .json = true}), "digest");
  EXPECT_EQ(json.String("digest", "digest"), hex);
  EXPECT_EQ(json.Integer("completions", "digest"), 24);
  EXPECT_FALSE(json.At("torn", "digest").boolean);
}

TEST_F(TraceCommand, TornTailAndEmptyTraceAreNotes) {
  { AppendFile(LearnerSegmentPath(run_.path())).Append("torn"); }
  EXPECT_EQ(Lines(Run(RunStats, StatsOptions{.run = "", .json = true})).size(), 4u);
  ExpectHas(notes_, "unfinished frame");
  { TraceWriter writer(run_.path(), SampleHeader(), {.keep = TracePosition{}}); }
  Run(RunLs, LsOptions{});
  ExpectHas(notes_, "holds no group yet");
  ExpectHas(ErrorOf(RunShow, ShowOptions{}), "holds no group yet");
}

TEST(TokenColorSetting, TerminalAndAlways) {
  EXPECT_EQ(ParseTokenColor("log_prob", true), TokenColor::kLogProb);
  EXPECT_EQ(ParseTokenColor("log_prob", false), TokenColor::kOff);
  EXPECT_EQ(ParseTokenColor("entropy", true), TokenColor::kEntropy);
  EXPECT_EQ(ParseTokenColor("always", false), TokenColor::kLogProb);
  EXPECT_EQ(ParseTokenColor("entropy,always", false), TokenColor::kEntropy);
  EXPECT_EQ(ParseTokenColor("off", true), TokenColor::kOff);
  EXPECT_THROW(ParseTokenColor("blue", true), Error);
  EXPECT_THROW(ParseTokenColor("", true), Error);
}

}  // namespace
}  // namespace grouper
