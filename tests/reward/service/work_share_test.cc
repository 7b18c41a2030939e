// What goes into the calls of several services, without a transport: sizes and deadlines by the
// worst case, work that goes back, the end of it.
#include "reward/service/work_share.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/error.h"
#include "tests/testing/fake_grader.h"

namespace grouper {
namespace {

using reward::v1::ScoreItem;
using reward::v1::ScoreResult;
using testing::CodeItem;
using testing::MathItem;
using Failure = WorkShare::Failure;

std::vector<Rubric> RubricsWith(double wall_seconds) {
  Rubric rubric = testing::RubricFrom("component { name: \"accuracy\" }");
  rubric.mutable_code()->set_wall_seconds(wall_seconds);
  return {rubric};
}

std::vector<ScoreItem> Programs(int count) {
  std::vector<ScoreItem> items;
  for (int i = 0; i < count; ++i) items.push_back(CodeItem(std::to_string(i), "x"));
  return items;
}

// The size and the deadline of the first call to the only service.
std::pair<size_t, double> FirstCall(const std::vector<ScoreItem>& items, double wall_seconds,
                                    int workers) {
  const std::vector<Rubric> rubrics = RubricsWith(wall_seconds);
  const CallItems call_items(rubrics, items);
  std::vector<SharedService> services(1);
  services[0].ability = ServiceAbility{.code_workers = workers};
  WorkShare share(&call_items, &services, {.deadline_seconds = 60});
  const WorkShare::Call call = *share.Take(0, {});
  return {call.items.size(), call.deadline_seconds};
}

TEST(WorkShare, CutsCallsByTheirWorstCase) {
  // A program takes 5 s and 1 s for its start at most; a quarter of the deadline is 15 s.
  EXPECT_EQ(FirstCall(Programs(512), 5, 1), std::make_pair(size_t{2}, 60.0));
  EXPECT_EQ(FirstCall(Programs(512), 5, 2), std::make_pair(size_t{4}, 60.0));
  EXPECT_EQ(FirstCall(Programs(512), 5, 64).first, 97u);
  // Programs that take longer: one for each worker, and a deadline that fits.
  EXPECT_EQ(FirstCall(Programs(512), 99, 1), std::make_pair(size_t{1}, 400.0));
  EXPECT_EQ(FirstCall(Programs(512), 99, 8), std::make_pair(size_t{8}, 400.0));
  std::vector<ScoreItem> numbers;
  for (int i = 0; i < 2000; ++i) numbers.push_back(MathItem(std::to_string(i), "1"));
  EXPECT_EQ(FirstCall(numbers, 5, 1), std::make_pair(size_t{256}, 60.0));
}

TEST(WorkShare, AsksAnUnknownOrFailingServiceOneCallAtATime) {
  const std::vector<Rubric> rubrics = RubricsWith(5);
  const CallItems call_items(rubrics, Programs(32));
  std::vector<SharedService> services(1);
  WorkShare share(&call_items, &services, {.first_pause_seconds = 1e-6});
  const WorkShare::Call ask = *share.Take(0, {});
  EXPECT_TRUE(ask.items.empty());
  share.Knows(0, {});
  const WorkShare::Call one = *share.Take(0, {}), two = *share.Take(0, {});
  EXPECT_FALSE(one.items.empty() || two.items.empty());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(share.Take(0, stop.get_token()).has_value());
  share.Failed(0, one, Failure::kNoAnswer, "down");
  share.Failed(0, two, Failure::kNoAnswer, "down");
  EXPECT_TRUE(share.Take(0, {})->items.empty());  // it is asked anew
  share.Knows(0, {});
  EXPECT_EQ(share.Take(0, {})->items, two.items);  // what came back last is tried first
}

ScoreResult Judged(const ScoreItem& item) {
  ScoreResult result;
  result.set_status(ScoreResult::SCORED);
  result.set_reason(item.item_id());
  return result;
}

// Services that judge, fail, run late and lie at random: every item gets its own result.
TEST(WorkShare, LosesNothingWhateverTheServicesDo) {
  const std::vector<Rubric> rubrics = RubricsWith(5);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const CallItems items(rubrics, Programs(200));
    std::vector<SharedService> services(4);
    WorkShare share(&items, &services, {.first_pause_seconds = 1e-6, .most_pause_seconds = 1e-5});
    std::atomic<int> calls{0};
    {
      std::vector<std::jthread> threads;
      for (size_t t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
          const size_t s = t / 2;
          std::minstd_rand random(static_cast<unsigned>(8 * round) + static_cast<unsigned>(t) + 1);
          while (const std::optional<WorkShare::Call> call = share.Take(s, share.given_up())) {
            ++calls;
            const int kind = static_cast<int>(random() % 8);
            if (call->items.empty()) {
              share.Knows(s, {});
            } else if (kind == 0) {
              share.Failed(s, *call, Failure::kNoAnswer, "down");
            } else if (kind == 1) {
              share.Failed(s, *call, random() % 2 == 0 ? Failure::kLate : Failure::kBroken, "bad");
            } else if (kind == 2 && s == 3) {
              share.Distrust(s, *call, "a lie");
            } else {
              std::vector<ScoreResult> results;
              for (const size_t i : call->items) {
                results.push_back(Judged(items.item(i)));
                // An item alone is always judged; otherwise it could be TIMEOUT at the end.
                if (kind == 3 && call->items.size() > 1)
                  results.back().set_status(ScoreResult::TIMEOUT);
              }
              share.Answered(s, *call, std::move(results));
            }
          }
        });
      }
    }
    const std::vector<ScoreResult> results = share.Finish();
    ASSERT_EQ(results.size(), 200u);
    for (size_t i = 0; i < 200; ++i) {
      ASSERT_EQ(results[i].status(), ScoreResult::SCORED);
      ASSERT_EQ(results[i].reason(), std::to_string(i));
    }
    EXPECT_LT(calls, 5000);
  }
}

TEST(WorkShare, EndsWhenNoServiceIsTrusted) {
  const std::vector<Rubric> rubrics = RubricsWith(5);
  const CallItems items(rubrics, Programs(3));
  std::vector<SharedService> services(2);
  for (SharedService& service : services) service.ability = ServiceAbility{};
  WorkShare share(&items, &services, {});
  const WorkShare::Call call = *share.Take(0, {});
  share.Distrust(0, call, "a lie");
  EXPECT_FALSE(share.given_up().stop_requested());
  EXPECT_FALSE(share.Take(0, {}).has_value());
  share.Distrust(1, *share.Take(1, {}), "another lie");
  EXPECT_TRUE(share.given_up().stop_requested());
  try {
    share.Finish();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(error.message().find("another lie"), std::string::npos);
  }
}

}  // namespace
}  // namespace grouper
