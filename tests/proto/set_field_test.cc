// --set a.b=c.
#include <gtest/gtest.h>

#include "base/error.h"
#include "proto/config.pb.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

Config With(const std::vector<std::string>& assignments) {
  Config config;
  SetFields(assignments, &config);
  return config;
}

// The refusal of an assignment; the message stays as it was.
std::string Refusal(const std::string& assignment) {
  Config config = With({"steps=7", "reward.addresses=host:1", "reward.rubric={ name: 'kept' }"});
  const std::string before = config.SerializeAsString();
  const std::string message = UserErrorOf([&] { SetField(assignment, &config); });
  EXPECT_EQ(message.rfind("[set] ", 0), 0u) << message;
  EXPECT_EQ(config.SerializeAsString(), before) << assignment;
  return message;
}

TEST(SetField, Numbers) {
  const Config config = With({"seed=18446744073709551615", "steps=-5", "sampling.top_k= 0x10 ",
                              "sampling.temperature=1e-3", "optimizer.lr=2", "sampling.min_p=-.5"});
  EXPECT_EQ(config.seed(), UINT64_MAX);
  EXPECT_EQ(config.steps(), -5);
  EXPECT_EQ(config.sampling().top_k(), 16);
  EXPECT_EQ(config.sampling().temperature(), 1e-3);
  EXPECT_EQ(config.optimizer().lr(), 2);
  EXPECT_EQ(config.sampling().min_p(), -0.5);
}

TEST(SetField, TruthValuesAndEnums) {
  EXPECT_TRUE(With({"reward.shuffle=true"}).reward().shuffle());
  EXPECT_FALSE(With({"reward.shuffle=true", "reward.shuffle=false"}).reward().shuffle());
  EXPECT_TRUE(With({"reward.shuffle=1"}).reward().shuffle());
  EXPECT_EQ(With({"check=OFF"}).check(), Config::OFF);
  EXPECT_EQ(With({"advantage.std=POPULATION"}).advantage().std(), AdvantageConfig::POPULATION);
}

// A text field takes the argument literally.
TEST(SetField, TextIsLiteral) {
  for (const char* text : {"plain", "a=b=c", " spaced ", "\"quoted\"", "[1, 2]", "{x}", "back\\n",
                           "", "é", "# no comment", "line\nfeed"}) {
    EXPECT_EQ(With({std::string("data.train=") + text}).data().train(), text);
  }
}

TEST(SetField, AListGetsEveryValueOfTheCommandLine) {
  const auto addresses = [](const std::vector<std::string>& assignments) {
    const Config config = With(assignments);
    return std::vector<std::string>(config.reward().addresses().begin(),
                                    config.reward().addresses().end());
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(addresses({"reward.addresses=h:1"}), Texts{"h:1"});
  EXPECT_EQ(addresses({"reward.addresses=h:1", "reward.addresses=i:2", "reward.addresses=j:3"}),
            (Texts{"h:1", "i:2", "j:3"}));
  EXPECT_EQ(addresses({"reward.addresses=[\"a:1\", 'b:2']"}), (Texts{"a:1", "b:2"}));
  EXPECT_EQ(addresses({"reward.addresses=h:1", "reward.addresses="}), Texts{});
  EXPECT_EQ(addresses({"reward.addresses=h:1", "reward.addresses=", "reward.addresses=i:2"}),
            Texts{"i:2"});
  EXPECT_EQ(addresses({"reward.addresses=h:1", "reward.addresses=[]"}), Texts{});
  EXPECT_EQ(addresses({"reward.addresses=[::1]:50051"}), Texts{"[::1]:50051"});  // no list
}

TEST(SetField, MessagesAreMergedAndListsOfThemGrow) {
  const Config config = With({"optimizer.eps=3", "optimizer={ lr: 1, beta1: 0.5 }"});
  EXPECT_EQ(config.optimizer().eps(), 3);
  EXPECT_EQ(config.optimizer().lr(), 1);
  const Config rubrics =
      With({"reward.rubric={ name: 'a' }", "reward.rubric=[{ name: 'b' }, { name: 'c' }]"});
  ASSERT_EQ(rubrics.reward().rubric_size(), 3);
  EXPECT_EQ(rubrics.reward().rubric(1).name(), "b");
  EXPECT_TRUE(With({"optimizer={}"}).has_optimizer());
}

TEST(SetField, AListOfTheFileIsReplaced) {
  Config config;
  MergeTextproto(
      "reward { addresses: 'file:1' } sampling { stop_tokens: 'x' stop_tokens: 'y' "
      "length_schedule { from_update: 1 max_new_tokens: 2 } }",
      "file", &config);
  const std::vector<std::string> set = {
      "reward.addresses=a:1",
      "sampling.stop_tokens=p",
      "reward.addresses=b:2",
      "sampling.stop_tokens=[\"q\", 'r']",
      "sampling.length_schedule={ from_update: 3 max_new_tokens: 4 }",
      "sampling.length_schedule={ from_update: 5 max_new_tokens: 6 }"};
  SetFields(set, &config);
  EXPECT_EQ(ToTextproto(config),
            "sampling {\n  stop_tokens: \"p\"\n  stop_tokens: \"q\"\n  stop_tokens: \"r\"\n"
            "  length_schedule {\n    from_update: 3\n    max_new_tokens: 4\n  }\n"
            "  length_schedule {\n    from_update: 5\n    max_new_tokens: 6\n  }\n}\n"
            "reward {\n  addresses: \"a:1\"\n  addresses: \"b:2\"\n}\n");
}

TEST(SetField, OneOfSeveralTakesTheOthersPlace) {
  Rubric rubric;
  SetField("tolerance.exact=true", &rubric);
  SetField("tolerance.relative=1e-3", &rubric);
  EXPECT_EQ(rubric.tolerance().kind_case(), Tolerance::kRelative);
  EXPECT_EQ(rubric.tolerance().relative(), 1e-3);
}

TEST(SetField, UnknownNamesGetTheNearestOne) {
  EXPECT_EQ(Refusal("stpes=5"),
            "[set] stpes: unknown field \"stpes\" of Config; did you mean \"steps\"?");
  EXPECT_EQ(Refusal("lr=5"),
            "[set] lr: unknown field \"lr\" of Config; did you mean \"optimizer.lr\"?");
  EXPECT_EQ(Refusal("optimizer.rl=5"),
            "[set] optimizer.rl: unknown field \"rl\" of OptimizerConfig; did you mean \"lr\"?");
  EXPECT_EQ(Refusal("sft.q=5"),
            "[set] sft.q: unknown field \"q\" of SftConfig; it has steps, documents_per_step");
  EXPECT_EQ(Refusal("optimizer={ rl: 5 }"),
            "[set] optimizer: unknown field \"rl\" of OptimizerConfig; did you mean \"lr\"?");
  for (const char* path : {"optimizer.=5", ".steps=5", "optimizer..lr=5", " steps=5", "steps =5"}) {
    EXPECT_NE(Refusal(path).find("unknown field"), std::string::npos) << path;
  }
}

TEST(SetField, PathsThatLeadNowhereSayWhatToWrite) {
  EXPECT_EQ(Refusal("steps.x=5"),
            "[set] steps.x: steps takes an integer and has no fields; write "
            "--set steps=value");
  EXPECT_EQ(Refusal("reward.rubric.name=x"),
            "[set] reward.rubric.name: rubric is a list; write --set 'reward.rubric={ ... }'");
  for (const char* text : {"steps", "", "=5", "=", "--steps"}) {
    EXPECT_NE(Refusal(text).find("is not a setting; write --set name.of.field=value"),
              std::string::npos);
  }
}

TEST(SetField, BadValuesNameTheFieldAndWhatItTakes) {
  EXPECT_EQ(Refusal("steps=abc"), "[set] steps: steps takes an integer, not \"abc\"");
  EXPECT_EQ(Refusal("steps="), "[set] steps: steps takes an integer, not \"\"");
  EXPECT_EQ(Refusal("steps=1.5"), "[set] steps: steps takes an integer, not \"1.5\"");
  EXPECT_EQ(Refusal("seed=-1"), "[set] seed: seed takes an integer of at least 0, not \"-1\"");
  EXPECT_EQ(Refusal("optimizer.lr=1e"), "[set] optimizer.lr: lr takes a number, not \"1e\"");
  EXPECT_EQ(Refusal("reward.shuffle=yes"),
            "[set] reward.shuffle: shuffle takes true or false, not \"yes\"");
  EXPECT_EQ(Refusal("check=WRAN"),
            "[set] check: \"WRAN\" is not a value of check; it takes FAIL, "
            "WARN, OFF; did you mean WARN?");
  EXPECT_EQ(Refusal("reward.addresses=[a]"),
            "[set] reward.addresses: addresses takes a list [ ... ] of a text, not \"[a]\"; put "
            "each text in quotes");
  EXPECT_NE(Refusal("optimizer=5").find("optimizer takes \"{ field: value ... }\" with lr, "),
            std::string::npos);
  for (const char* text : {"steps=[1]", "steps={}", "steps=\"5\"", "steps=9223372036854775808",
                           "sampling.top_k=2147483648", "check=9", "check="}) {
    Refusal(text);
  }
}

TEST(SetField, AValueSetsItsFieldOnly) {
  for (const char* text : {"steps=5 seed: 6", "steps=5\nseed: 6", "optimizer={} steps: 5",
                           "reward.shuffle=true max_wait_seconds: 1"}) {
    EXPECT_NE(Refusal(text).find("sets other fields too"), std::string::npos) << text;
  }
  Refusal("steps=5 steps: 6");
}

TEST(SetField, WhatIsShownIsNeverTerminalControl) {
  for (const char* text : {"\x1b[2J=1", "steps=\x1b[2J", "\x1b[2J", "steps.\x1b=1", "check=\x1b[2J",
                           "steps=\"\xC2\x9B\"", "optimizer={ \x1b[2J: 1 }", "\x1b.x=1"}) {
    for (const char c : Refusal(text)) {
      ASSERT_GE(static_cast<unsigned char>(c), 0x20) << text;
      ASSERT_LT(static_cast<unsigned char>(c), 0x7f) << text;
    }
  }
}

TEST(SetField, TextsAreUtf8) {
  EXPECT_EQ(Refusal("data.train=\xFF"),
            "[set] data.train: the text is not UTF-8; write it in UTF-8");
  Refusal("reward.addresses=\xC3");
  Refusal("reward.addresses=['\\377']");
  Refusal("data={ train: '\\377' }");
}

TEST(SetField, SizeIsLimited) {
  const std::string value(1 << 20, 'x');
  EXPECT_EQ(Refusal("data.train=" + value), "[set] the value is larger than 1 MiB");
  EXPECT_LT(Refusal(std::string(100'000, 'n') + "=1").size(), 2'000u);
  EXPECT_LT(Refusal("steps=" + std::string(100'000, '1')).size(), 2'000u);
}

}  // namespace
}  // namespace grouper
