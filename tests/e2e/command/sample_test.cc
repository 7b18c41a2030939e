// `grouper sample` with one prompt, and rejection sampling of a file. A job that is killed anywhere
// and started again comes to the same bits.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <set>

#include "base/digest.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/io/json_lines.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

class Sample : public ::testing::Test {
 protected:
  Sample() : folder_(FreshFolder("sample")) {}
  void SetUp() override {
    SKIP_WITHOUT_ISOLATION();
    const Ran quick =
        RunProgram("grouper", {"quickstart", "--smoke", "--run", folder_ + "/quick", "--json"});
    EXPECT_EQ(quick.code, 0) << quick.err;
    WriteQuestions(40, {});
  }
  // `golds` maps numbers of questions to golds. A question without one gets "0".
  void WriteQuestions(int count, const std::map<int, std::string>& golds) const {
    std::ofstream out(folder_ + "/in.jsonl");
    for (int i = 0; i < count; ++i) {
      const auto gold = golds.find(i);
      out << "{\"question\":\"calc " << i % 20 << "+" << i / 2 % 60 << "\",\"golds\":[\""
          << (gold == golds.end() ? "0" : gold->second) << "\"]}\n";
    }
  }
  // The policy has learned next to nothing, so a whole completion counts as its answer, and wrong
  // ones are kept.
  std::vector<std::string> Command(const std::string& name,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "sample",
        "--checkpoint",
        folder_ + "/quick/rl",
        "--input",
        folder_ + "/in.jsonl",
        "--samples",
        "4",
        "--json",
        "--output",
        folder_ + "/" + name + ".jsonl",
        "--set",
        "reward.rubric={name: \"calc\" extraction: WHOLE component {name: \"accuracy\"}}",
        "--set",
        "sample.only_right=false"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string Rows(const std::string& name) const {
    return ReadFile(folder_ + "/" + name + ".jsonl", "rows");
  }
  std::string TraceDigest(const std::string& name) const {
    return RunProgram("grouper-trace", {"digest", folder_ + "/" + name + ".jsonl.run"}).out;
  }

  std::string folder_;
};

TEST_F(Sample, OnePromptStreamsAndIsAFunctionOfTheSeed) {
  const auto sample = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"sample", "--checkpoint", folder_ + "/quick/rl",
                                          "--prompt", "calc 3+4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram("grouper", arguments);
  };
  const Ran first = sample({});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(sample({"--threads", "1"}).out, first.out);
  const Ran json = sample({"--json"});
  EXPECT_EQ(ParseJson(json.out, "sample").String("text", "sample") + "\n", first.out);
  std::set<std::string> texts;
  for (const char* seed : {"1", "2", "3", "4", "5"}) texts.insert(sample({"--seed", seed}).out);
  EXPECT_GT(texts.size(), 2u);
  EXPECT_EQ(sample({"--set", "sampling.temperature=0", "--seed", "1"}).out,
            sample({"--set", "sampling.temperature=0", "--seed", "2"}).out)
      << "the likeliest token needs no seed";
  const Ran none = RunProgram("grouper", {"sample", "--checkpoint", folder_ + "/quick/rl"});
  EXPECT_EQ(none.code, 2);
  EXPECT_NE(none.err.find("--prompt"), std::string::npos) << none.err;
}

TEST_F(Sample, RowsCarryTheirLineageAndAreReadByTraining) {
  const Ran ran = RunProgram("grouper", Command("rows"));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json manifest = ParseJson(ran.out, "manifest");
  EXPECT_EQ(ReadFile(folder_ + "/rows.jsonl.manifest.json", "manifest"), ran.out);
  EXPECT_EQ(manifest.String("output_sha256", "m"), Sha256Hex(Rows("rows")));
  EXPECT_EQ(manifest.At("data", "m").String("sha256", "m"),
            Sha256Hex(ReadFile(folder_ + "/in.jsonl", "in")));
  int64_t rows = manifest.Integer("rows", "m"), dropped = 0;
  for (const auto& [reason, count] : manifest.At("dropped", "m").members) dropped += count.integer;
  EXPECT_GT(rows, 5);
  EXPECT_GT(manifest.At("dropped", "m").Integer("truncated", "m"), 0);
  EXPECT_EQ(rows + dropped, 160);

  std::vector<std::string> sft = {"sft",
                                  "--config",
                                  folder_ + "/quick/rl/config.textproto",
                                  "--set",
                                  "data.train=" + folder_ + "/rows.jsonl",
                                  "--set",
                                  "sft.steps=2",
                                  "--run",
                                  folder_ + "/sft",
                                  "--json"};
  const Ran trained = RunProgram("grouper", sft);
  EXPECT_EQ(trained.code, 0) << trained.err;

  // Golds that some samples are equal to, because they are the policy's own answers.
  std::map<int, std::string> golds;
  JsonLinesReader reader(folder_ + "/rows.jsonl", "rows");
  for (Json row; reader.Next(&row);) {
    const std::string answer = row.String("answer", "row"), source = row.String("source", "row");
    if (answer.find_first_not_of("0123456789") != std::string::npos || answer.size() > 12) continue;
    golds[std::stoi(source.substr(source.rfind(':') + 1)) - 1] = answer;
  }
  ASSERT_GT(golds.size(), 0u);
  WriteQuestions(40, golds);
  const Ran right = RunProgram("grouper", Command("right", {"--set", "sample.only_right=true"}));
  ASSERT_EQ(right.code, 0) << right.err;
  const Json kept = ParseJson(right.out, "manifest");
  EXPECT_GE(kept.Integer("rows", "m"), static_cast<int64_t>(golds.size()));
  EXPECT_GT(kept.At("dropped", "m").Integer("wrong", "m"), 0);
  // With other filters on the same samples no service is asked and nothing is sampled again.
  const Ran again =
      RunProgram("grouper", Command("right", {"--set", "reward.addresses=127.0.0.1:1"}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_GT(ParseJson(again.out, "manifest").Integer("rows", "m"), kept.Integer("rows", "m"));
}

TEST_F(Sample, AKilledJobGoesOnToTheSameBits) {
  ASSERT_EQ(RunProgram("grouper", Command("whole")).code, 0);
  const std::string rows = Rows("whole"), digest = TraceDigest("whole");
  int killed = 0;
  for (const char* point :
       {"sample.generated:2", "sample.traced:2", "trace.completion_appended:70",
        "trace.group_appended:20", "sample.rows_written:1", "sample.rows_published:1"}) {
    const std::string name = "cut" + std::to_string(killed++);
    const Ran cut =
        RunProgram("grouper", Command(name), {std::string("GROUPER_KILL_POINT=") + point});
    ASSERT_EQ(cut.code, 128 + SIGKILL) << point << "\n" << cut.err;
    EXPECT_FALSE(FileExists(folder_ + "/" + name + ".jsonl.manifest.json")) << point;
    const Ran on = RunProgram("grouper", Command(name));
    ASSERT_EQ(on.code, 0) << point << "\n" << on.err;
    EXPECT_EQ(Rows(name), rows) << point;
    EXPECT_EQ(TraceDigest(name), digest) << point;
    EXPECT_FALSE(FileExists(folder_ + "/" + name + ".jsonl.tmp")) << point;
  }
}

TEST_F(Sample, ASignalStopsItAndTheSameCommandGoesOn) {
  WriteQuestions(1500, {});
  ASSERT_EQ(RunProgram("grouper", Command("whole")).code, 0);
  const Ran stopped = testing::RunAndSignal("grouper", Command("cut"),
                                            folder_ + "/cut.jsonl.run/identity.txt", 1, SIGTERM);
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_FALSE(FileExists(folder_ + "/cut.jsonl")) << "rows are seen when all are there";
  ASSERT_EQ(RunProgram("grouper", Command("cut", {"--threads", "1"})).code, 0);
  EXPECT_EQ(Rows("cut"), Rows("whole"));
}

TEST_F(Sample, AnotherJobInTheSameFolderIsRefused) {
  ASSERT_EQ(RunProgram("grouper", Command("one")).code, 0);
  for (const std::vector<std::string>& other : std::vector<std::vector<std::string>>{
           {"--seed", "9"}, {"--set", "sampling.temperature=0.5"}, {"--set", "sample.samples=4"}}) {
    const Ran ran = RunProgram("grouper", Command("one", other));
    const bool same = other[1] == "sample.samples=4";
    EXPECT_EQ(ran.code, same ? 0 : 2) << other[1] << "\n" << ran.err;
    EXPECT_EQ(ran.err.find("another job") != std::string::npos, !same) << ran.err;
  }
  WriteQuestions(41, {});
  EXPECT_EQ(RunProgram("grouper", Command("one")).code, 2) << "other data";
  const Ran trained = RunProgram("grouper", Command("one", {"--run", folder_ + "/quick/rl"}));
  EXPECT_EQ(trained.code, 2);
  EXPECT_NE(trained.err.find("training run"), std::string::npos) << trained.err;
}

}  // namespace
}  // namespace grouper
