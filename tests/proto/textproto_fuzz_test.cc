// Seeded random and damaged settings: taken or refused in words, never a crash; what is taken
// prints and reads as the same message.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "proto/config.pb.h"
#include "proto/textproto.h"
#include "tests/testing/mutate.h"

namespace grouper {
namespace {

using testing_support::Mutator;

const std::vector<std::string> kPieces = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          "<",
                                          ">",
                                          ":",
                                          ",",
                                          ";",
                                          "=",
                                          ".",
                                          "\"",
                                          "'",
                                          "\\",
                                          "#",
                                          "\n",
                                          "\t",
                                          " ",
                                          "-",
                                          "0",
                                          "1",
                                          "1e400",
                                          "0x7fffffffffffffff",
                                          "18446744073709551616",
                                          "nan",
                                          "-inf",
                                          "true",
                                          "steps",
                                          "steps: 5",
                                          "seed",
                                          "check",
                                          "check: WARN",
                                          "WRAN",
                                          "data",
                                          "data {",
                                          "train",
                                          "data.train=",
                                          "optimizer",
                                          "optimizer.lr=",
                                          "lr",
                                          "reward",
                                          "rubric",
                                          "reward { rubric {",
                                          "addresses",
                                          "reward.addresses=",
                                          "tolerance",
                                          "exact",
                                          "\\377",
                                          "\xC3",
                                          "\xF0\x9F\x98\x80",
                                          "\x1b",
                                          std::string(1, '\0')};

const std::string kGood =
    "seed: 3 steps: 100\ncheck: WARN\n"
    "data { train: \"tasks:calc\" 'x' on_bad: SKIP } # why\n"
    "optimizer { lr: 1e-3 schedule: COSINE }\n"
    "reward { addresses: [\"a:1\", 'b:2'] shuffle: true rubric { tolerance { decimals: 2 } } }\n";

const std::vector<std::string> kAssignments = {"steps=5",
                                               "seed=18446744073709551615",
                                               "data.train=a=b",
                                               "optimizer.lr=1e-3",
                                               "check=OFF",
                                               "reward.addresses=[\"a\", 'b']",
                                               "reward.rubric={ tolerance { exact: true } }",
                                               "reward.shuffle=true",
                                               "optimizer={ lr: 1, schedule: COSINE }"};

bool IsReadable(const std::string& message) {
  for (const char c : message) {
    if (c < ' ' || c > '~') return false;
  }
  return message.rfind("[config] run", 0) == 0 || message.rfind("[set] ", 0) == 0;
}

// True when it was taken; then the message prints and reads back as it is. Refused, it is as it
// was.
template <typename Call>
bool Taken(Config* config, uint64_t round, const Call& call) {
  const std::string before = config->SerializeAsString();
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser) << round;
    EXPECT_TRUE(IsReadable(error.message())) << round << ": " << error.message();
    EXPECT_EQ(config->SerializeAsString(), before) << round;
    return false;
  }
  const std::string text = ToTextproto(*config);
  Config again;
  MergeTextproto(text, "written", &again);
  EXPECT_EQ(ToTextproto(again), text) << round;
  return true;
}

TEST(MergeTextprotoFuzz, RefusesInWordsOrTakesWhatPrintsBack) {
  int taken = 0, refused = 0;
  for (uint64_t round = 0; round < 10'000 && !testing::Test::HasFailure(); ++round) {
    Mutator mutator(round, kPieces);
    const size_t kind = mutator.Below(4);
    const std::string text = kind == 0   ? mutator.RandomBytes(40)
                             : kind == 1 ? mutator.RandomPieces(12)
                                         : mutator.Damaged(kGood);
    const auto block = std::make_unique<char[]>(text.size());
    std::memcpy(block.get(), text.data(), text.size());
    Config config;
    config.set_steps(7);
    ++(Taken(&config, round,
             [&] {
               MergeTextproto({block.get(), text.size()}, "run", &config);
             })
           ? taken
           : refused);
  }
  EXPECT_GT(taken, 500);
  EXPECT_GT(refused, 2'000);
}

TEST(SetFieldFuzz, RefusesInWordsOrTakesWhatPrintsBack) {
  int taken = 0, refused = 0;
  for (uint64_t round = 0; round < 20'000 && !testing::Test::HasFailure(); ++round) {
    Mutator mutator(round, kPieces);
    const size_t kind = mutator.Below(4);
    const std::string text =
        kind == 0   ? mutator.RandomBytes(20)
        : kind == 1 ? mutator.RandomPieces(6)
                    : mutator.Damaged(kAssignments[mutator.Below(kAssignments.size())]);
    Config config;
    config.mutable_reward()->add_addresses("kept:1");
    ++(Taken(&config, round, [&] { SetField(text, &config); }) ? taken : refused);
  }
  EXPECT_GT(taken, 500);
  EXPECT_GT(refused, 5'000);
}

}  // namespace
}  // namespace grouper
