#include "proto/textproto.h"

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "proto/config.pb.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

Config Merged(std::string_view text) {
  Config config;
  MergeTextproto(text, "t", &config);
  return config;
}

// The refusal of a text; the message that it should have gone into stays as it was.
std::string Refusal(std::string_view text) {
  Config config;
  config.set_steps(7);
  config.mutable_reward()->add_addresses("host:1");
  const std::string before = config.SerializeAsString();
  const std::string message = UserErrorOf([&] { MergeTextproto(text, "run.textproto", &config); });
  EXPECT_EQ(config.SerializeAsString(), before) << message;
  return message;
}

TEST(MergeTextproto, TakesEveryKindOfField) {
  const Config config = Merged(R"(
    # a comment
    seed: 18446744073709551615 steps: -9223372036854775808
    check: WARN
    data { train: "a \"b\" \303\251 é" 'c' gold_after: "\n####" on_bad: SKIP },
    sampling: < temperature: 0.5; top_k: 0x10 top_p: 1e-3 >
    reward { addresses: ["a:1", "b:2"] addresses: "c:3" shuffle: true rubric { name: "x" } rubric {} }
  )");
  EXPECT_EQ(config.seed(), UINT64_MAX);
  EXPECT_EQ(config.steps(), INT64_MIN);
  EXPECT_EQ(config.check(), Config::WARN);
  EXPECT_EQ(config.data().train(), "a \"b\" é éc");
  EXPECT_EQ(config.data().gold_after(), "\n####");
  EXPECT_EQ(config.data().on_bad(), DataConfig::SKIP);
  EXPECT_EQ(config.sampling().temperature(), 0.5);
  EXPECT_EQ(config.sampling().top_k(), 16);
  EXPECT_EQ(config.sampling().top_p(), 1e-3);
  ASSERT_EQ(config.reward().addresses_size(), 3);
  EXPECT_EQ(config.reward().addresses(2), "c:3");
  EXPECT_TRUE(config.reward().shuffle());
  ASSERT_EQ(config.reward().rubric_size(), 2);
  EXPECT_EQ(config.reward().rubric(1).name(), "default");
}

TEST(MergeTextproto, AnEmptyTextChangesNothing) {
  EXPECT_EQ(Merged("").ByteSizeLong(), 0u);
  EXPECT_EQ(Merged(" \n# nothing\n").ByteSizeLong(), 0u);
}

TEST(MergeTextproto, LaterFilesWinFieldByField) {
  const TempFolder folder;
  Config config;
  MergeTextprotoFile(folder.Write("a",
                                  "steps: 1 group_size: 2 optimizer { lr: 1 eps: 0.5 } "
                                  "reward { addresses: 'a:1' }"),
                     &config);
  MergeTextprotoFile(
      folder.Write("b", "steps: 3 optimizer { lr: 0.25 } reward { addresses: 'b:2' }"), &config);
  EXPECT_EQ(config.steps(), 3);
  EXPECT_EQ(config.group_size(), 2);
  EXPECT_EQ(config.optimizer().lr(), 0.25);
  EXPECT_EQ(config.optimizer().eps(), 0.5);
  ASSERT_EQ(config.reward().addresses_size(), 2);  // lists grow
  EXPECT_EQ(config.reward().addresses(1), "b:2");
}

TEST(MergeTextproto, UnknownFieldsNameLineColumnAndTheNearestName) {
  EXPECT_EQ(Refusal("seed: 1\n  stpes: 5"),
            "[config] run.textproto:2:3: unknown field \"stpes\" of Config; did you mean "
            "\"steps\"?");
  EXPECT_EQ(Refusal("lr: 1e-3"),
            "[config] run.textproto:1:1: unknown field \"lr\" of Config; did you mean "
            "\"optimizer.lr\"?");
  EXPECT_EQ(Refusal("sft {\n xyz: 1\n}"),
            "[config] run.textproto:2:2: unknown field \"xyz\" of SftConfig; it has "
            "steps, documents_per_step");
  EXPECT_NE(Refusal("reward { rubric { tolernace { exact: true } } }")
                .find("run.textproto:1:19: unknown field \"tolernace\" of Rubric; did you mean "
                      "\"tolerance\"?"),
            std::string::npos);
}

// The parser tells where the next word is, which may be in another line.
TEST(MergeTextproto, ThePlaceIsTheNamesOwn) {
  EXPECT_EQ(Refusal("\n xyz # why\n\n   : 5").rfind("[config] run.textproto:2:2: ", 0), 0u);
  EXPECT_EQ(Refusal("data {\n\txyz { a: 5 } }").rfind("[config] run.textproto:2:9: ", 0), 0u);
  EXPECT_EQ(Refusal("check: \n WRAN\n\n seed: 1").rfind("[config] run.textproto:2:2: ", 0), 0u);
  EXPECT_EQ(Refusal("seed: 1\nseed\n: 2"),
            "[config] run.textproto:2:1: the field \"seed\" is set twice; keep one");
}

TEST(MergeTextproto, UnknownValuesNameTheKnownOnes) {
  EXPECT_EQ(
      Refusal("check: WRAN"),
      "[config] run.textproto:1:8: \"WRAN\" is not a value of check; it takes FAIL, WARN, OFF; "
      "did you mean WARN?");
  EXPECT_NE(Refusal("check: 9").find("\"9\" is not a value of check"), std::string::npos);
  EXPECT_NE(Refusal("data { on_bad: true }").find("not a value of on_bad"), std::string::npos);
}

struct BadValue {
  const char* name;
  const char* text;
  const char* place;  // ":line:column: " of the fault
};

class BadValueTest : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValueTest, IsRefusedAtItsPlace) {
  const std::string message = Refusal(GetParam().text);
  EXPECT_EQ(message.rfind("[config] run.textproto" + std::string(GetParam().place), 0), 0u)
      << message;
}

INSTANTIATE_TEST_SUITE_P(
    MergeTextproto, BadValueTest,
    ::testing::Values(BadValue{"TextForInteger", "steps: abc", ":1:8: "},
                      BadValue{"FractionInTheSecondLine", "\nsteps: 1.5", ":2:8: "},
                      BadValue{"IntegerTooLarge", "steps: 9223372036854775808", ":1:8: "},
                      BadValue{"NegativeUnsigned", "seed: -1", ":1:7: "},
                      BadValue{"QuotedInteger", "steps: \"1\"", ":1:8: "},
                      BadValue{"Int32TooLarge", "sampling { top_k: 2147483648 }", ":1:19: "},
                      BadValue{"NumberForTruthValue", "reward { shuffle: 2 }", ":1:19: "},
                      BadValue{"NumberForText", "data { train: 5 }", ":1:15: "},
                      BadValue{"NumberForMessage", "data: 5", ":1:7: "},
                      BadValue{"FieldTwice", "steps: 1 steps: 2", ":1:10: "},
                      BadValue{"OpenQuote", "data { train: \"a }", ":1:19: "},
                      BadValue{"OpenBrace", "data {", ":1:7: "},
                      BadValue{"OtherBracket", "data { >", ":1:8: "},
                      BadValue{"OnlyABrace", "}", ":1:1: "},
                      BadValue{"NumberForName", "2: 5", ":1:1: "},
                      BadValue{"Extension", "[ext.name]: 5", ":1:11: "}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(MergeTextproto, BadValuesShowTheirLine) {
  const std::string message = Refusal("seed: 1\n   steps: abc # why");
  EXPECT_NE(message.find(" in \"steps: abc # why\"; correct this line"), std::string::npos)
      << message;
}

TEST(MergeTextproto, WhatAFileHoldsIsNeverTerminalControl) {
  for (const std::string text :
       {"steps: \"\x1b[2J\"",
        "steps: \"\xC2\x9B"
        "2J\"",
        "check: \"\x1b[2J\"", "\x1b[2J: 1", std::string("steps\0: 1", 9).c_str(),
        "steps: 1 \x9B"
        "2J"}) {
    for (const char c : Refusal(text)) {
      ASSERT_GE(static_cast<unsigned char>(c), 0x20) << text;
      ASSERT_LT(static_cast<unsigned char>(c), 0x7f) << text;
    }
  }
}

// A trace stores the resolved config, as a string that must be UTF-8.
TEST(MergeTextproto, TextsAreUtf8) {
  EXPECT_EQ(Refusal("data { train: \"\\377\" }"),
            "[config] run.textproto: the text of data.train is not UTF-8; write it in UTF-8");
  EXPECT_EQ(Refusal("reward { rubric { } rubric { name: '\xC3' } }"),
            "[config] run.textproto: the text of reward.rubric.name is not UTF-8; write it in "
            "UTF-8");
  EXPECT_NE(Refusal("reward { addresses: ['a', '\xC0\x80'] }").find("reward.addresses"),
            std::string::npos);
  EXPECT_EQ(Merged("data { train: '\\303\\251' }").data().train(), "é");
}

TEST(MergeTextproto, SizeAndDepthLimits) {
  std::string text = "steps: 5 #";
  text.resize(1 << 20, 'x');
  EXPECT_EQ(Merged(text).steps(), 5);
  EXPECT_EQ(Refusal(text + "x"), "[config] run.textproto is larger than 1 MiB");
  const TempFolder folder;
  Config config;
  UserErrorOf([&] { MergeTextprotoFile(folder.Write("large", text + "x"), &config); });

  const auto nested = [](int depth) {
    std::string all;
    for (int i = 0; i < depth; ++i) all += "nested_type { ";
    for (int i = 0; i < depth; ++i) all += "} ";
    return all;
  };
  google::protobuf::DescriptorProto tree;
  MergeTextproto(nested(32), "t", &tree);
  for (const int depth : {33, 10'000}) {
    const std::string message = UserErrorOf([&] { MergeTextproto(nested(depth), "t", &tree); });
    EXPECT_EQ(message.rfind("[config] t:1:", 0), 0u) << message;
  }
}

TEST(MergeTextprotoFile, AMissingFileIsNamed) {
  const TempFolder folder;
  Config config;
  const std::string path = JoinPath(folder.path(), "none.textproto");
  EXPECT_EQ(UserErrorOf([&] { MergeTextprotoFile(path, &config); }),
            "[config] cannot open " + path +
                ": No such file or directory; check the path and its permissions");
  const std::string bad = folder.Write("bad", "stpes: 1");
  EXPECT_EQ(
      UserErrorOf([&] { MergeTextprotoFile(bad, &config); }).rfind("[config] " + bad + ":1:1: ", 0),
      0u);
}

TEST(ToTextproto, RoundTripsBitForBit) {
  const Config config = Merged(R"(
    seed: 18446744073709551615 check: OFF
    data { train: "é \"q\" \\ \n \001" }
    sampling { temperature: 0.1 top_p: 4.9e-324 min_p: -0 }
    optimizer { lr: inf eps: 1.7976931348623157e308 beta1: 0.30000000000000004 }
    reward { addresses: ["b", "a"] rubric { tolerance { decimals: 3 } } rubric { } }
  )");
  const std::string text = ToTextproto(config);
  EXPECT_EQ(Merged(text).SerializeAsString(), config.SerializeAsString()) << text;
  EXPECT_EQ(ToTextproto(Merged(text)), text);
  EXPECT_EQ(ToTextproto(Config()), "");
  EXPECT_NE(text.find("é"), std::string::npos) << "text stays readable";
}

TEST(ToTextproto, DefaultsAreWrittenForMessagesThatArePresent) {
  Config config;
  config.set_steps(5);
  config.mutable_optimizer();
  config.mutable_reward()->add_rubric()->mutable_tolerance();
  const std::string text = ToTextproto(config, true);
  const Config filled = Merged(text);
  EXPECT_EQ(filled.steps(), 5);
  EXPECT_TRUE(filled.has_seed());
  EXPECT_EQ(filled.seed(), 1u);
  EXPECT_TRUE(filled.optimizer().has_beta2());
  EXPECT_EQ(filled.optimizer().beta2(), 0.95);
  EXPECT_TRUE(filled.has_check());
  EXPECT_FALSE(filled.has_sampling());  // not in the message
  ASSERT_EQ(filled.reward().rubric_size(), 1);
  EXPECT_EQ(filled.reward().rubric(0).marker(), "Answer:");
  // A field of a oneof is a choice, and none was made here.
  EXPECT_EQ(filled.reward().rubric(0).tolerance().kind_case(), Tolerance::KIND_NOT_SET);
  EXPECT_FALSE(config.has_seed()) << "the message itself is as it was";
  EXPECT_EQ(ToTextproto(filled, true), text);
}

}  // namespace
}  // namespace grouper
