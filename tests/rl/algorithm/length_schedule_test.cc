// The length schedule: what a step may sample, from the update at which it begins.
#include "rl/algorithm/length_schedule.h"

#include <gtest/gtest.h>

#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::UserErrorOf;

Config Settings(const std::string& sampling) {
  Config config;
  config.mutable_policy()->set_max_positions(100000);
  MergeTextproto("sampling { " + sampling + " }", "test", &config);
  return config;
}

TEST(LengthSchedule, WithoutOneTheCapNeverChanges) {
  const Config config = Settings("max_new_tokens: 48");
  EXPECT_NO_THROW(CheckLengthSchedule(config));
  for (int64_t update : {0, 1, 100000}) EXPECT_EQ(LengthCapAt(config.sampling(), update), 48);
  EXPECT_EQ(LongestCap(config.sampling()), 48);
}

// R1-Zero: 32,768 tokens, 65,536 from update 8,200 on, 16 updates a step.
TEST(LengthSchedule, ACapChangesAtTheNextStepBoundary) {
  const Config config =
      Settings("max_new_tokens: 32768 length_schedule { from_update: 8200 max_new_tokens: 65536 }");
  EXPECT_NO_THROW(CheckLengthSchedule(config));
  int64_t first = -1;
  for (int64_t step = 0; step < 650; ++step) {
    const int64_t begins = step * 16, cap = LengthCapAt(config.sampling(), begins);
    EXPECT_TRUE(cap == 32768 || cap == 65536);
    if (cap == 65536 && first < 0) first = begins;
    EXPECT_EQ(cap == 65536, first >= 0) << "it never falls back";
  }
  EXPECT_EQ(first, 8208);
  EXPECT_EQ(LongestCap(config.sampling()), 65536);
}

// DeepScaleR: 8k, 16k, 24k from updates 0, 1,040 and 1,520; and a cap that falls.
TEST(LengthSchedule, TheLastEntryThatHasBegunHolds) {
  const Config config = Settings(
      "length_schedule { from_update: 0 max_new_tokens: 8192 } "
      "length_schedule { from_update: 1040 max_new_tokens: 16384 } "
      "length_schedule { from_update: 1520 max_new_tokens: 24576 } "
      "length_schedule { from_update: 3000 max_new_tokens: 4096 }");
  EXPECT_NO_THROW(CheckLengthSchedule(config));
  const auto cap = [&](int64_t update) { return LengthCapAt(config.sampling(), update); };
  EXPECT_EQ(cap(0), 8192);
  EXPECT_EQ(cap(1039), 8192);
  EXPECT_EQ(cap(1040), 16384);
  EXPECT_EQ(cap(1520), 24576);
  EXPECT_EQ(cap(2999), 24576);
  EXPECT_EQ(cap(3000), 4096);
  EXPECT_EQ(LongestCap(config.sampling()), 24576);
}

struct BadSchedule {
  const char* name;
  const char* second;  // the text after a first, good entry; or the whole text
  bool alone;
  const char* words;
};
constexpr BadSchedule kBadSchedules[] = {
    {"NoUpdate", "length_schedule { max_new_tokens: 64 }", true, "entry 1: write both"},
    {"NoCap", "length_schedule { from_update: 20 }", false, "entry 2: write both"},
    {"SameUpdate", "length_schedule { from_update: 10 max_new_tokens: 64 }", false,
     "entry 2: from_update must be above"},
    {"Descending", "length_schedule { from_update: 9 max_new_tokens: 64 }", false,
     "from_update=9 from_update_before=10"},
    {"NoRoomForAPrompt", "length_schedule { from_update: 20 max_new_tokens: 100000 }", false,
     "cap=100000 policy.max_positions="},
};
class BadLengthSchedule : public ::testing::TestWithParam<BadSchedule> {};

TEST_P(BadLengthSchedule, IsRefusedByEntry) {
  const std::string first = "length_schedule { from_update: 10 max_new_tokens: 64 } ";
  const std::string message = UserErrorOf(
      [&] { CheckLengthSchedule(Settings((GetParam().alone ? "" : first) + GetParam().second)); });
  EXPECT_NE(message.find(GetParam().words), std::string::npos) << message;
}
INSTANTIATE_TEST_SUITE_P(Row, BadLengthSchedule, ::testing::ValuesIn(kBadSchedules),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace grouper
