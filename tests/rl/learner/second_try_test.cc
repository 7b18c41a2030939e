// A failed update is repeated once: the same failure is the software's, another result the
// machine's.
#include "rl/learner/second_try.h"

#include <gtest/gtest.h>

namespace grouper {
namespace {

// The error of work whose n-th call fails with failures[n]; empty: it succeeds.
Error ErrorOf(const std::vector<std::string>& failures) {
  size_t calls = 0;
  try {
    DoOrExplain("runs/a", [&] {
      const std::string failure = calls < failures.size() ? failures[calls] : "";
      ++calls;
      if (!failure.empty()) ThrowInternal(failure);
      return 7;
    });
  } catch (const Error& error) {
    EXPECT_EQ(calls, 2u);
    return error;
  }
  return Error(ErrorKind::kUser, "no failure");
}

TEST(SecondTry, WorkThatSucceedsIsDoneOnce) {
  int calls = 0;
  EXPECT_EQ(DoOrExplain("runs/a", [&] { return ++calls; }), 1);
  EXPECT_EQ(calls, 1);
}

TEST(SecondTry, TheSameFailureTwiceIsTheSoftwares) {
  const Error error = ErrorOf({"[learner] a bit differs", "[learner] a bit differs"});
  EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  EXPECT_EQ(error.message().rfind("[learner] a bit differs; ", 0), 0u) << error.message();
  EXPECT_NE(error.message().find("the same way twice"), std::string::npos) << error.message();
  EXPECT_NE(error.message().find("run=runs/a"), std::string::npos) << error.message();
}

TEST(SecondTry, AMachineThatFailsOnceIsNamed) {
  const Error error = ErrorOf({"[learner] a bit differs"});
  EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  EXPECT_EQ(error.message().rfind("[hardware]", 0), 0u) << error.message();
  EXPECT_NE(error.message().find("first=[learner] a bit differs second=no error"),
            std::string::npos)
      << error.message();
}

TEST(SecondTry, AMachineThatFailsInTwoWaysIsNamed) {
  const Error error = ErrorOf({"[learner] a bit differs", "[learner] another bit differs"});
  EXPECT_EQ(error.message().rfind("[hardware]", 0), 0u) << error.message();
}

TEST(SecondTry, AUsersErrorIsNotTriedAgain) {
  int calls = 0;
  EXPECT_THROW(DoOrExplain("runs/a",
                           [&] {
                             ++calls;
                             ThrowUser("[config] no such file");
                             return 0;
                           }),
               Error);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace grouper
