// Expert ids in the trace: one byte each, or two.
#include "proto/expert_ids.h"

#include <gtest/gtest.h>

#include <vector>

namespace grouper {
namespace {

TEST(ExpertIds, WhatIsAppendedIsRead) {
  for (const int64_t experts : {int64_t{1}, int64_t{256}, int64_t{257}, kMostStorableExperts}) {
    SCOPED_TRACE(experts);
    const uint32_t width = ExpertIdBytes(experts);
    EXPECT_EQ(width, experts <= 256 ? 1u : 2u);
    std::string bytes;
    std::vector<int32_t> ids;
    for (int64_t id = 0; id < experts; id += 1 + experts / 300) {
      ids.push_back(static_cast<int32_t>(id));
      AppendExpertId(ids.back(), width, &bytes);
    }
    const ExpertIds read(bytes, width);
    ASSERT_EQ(read.size(), ids.size());
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(read[i], ids[i]);
  }
}

TEST(ExpertIds, AnOldMessageSaysZeroAndMeansOneByte) {
  const ExpertIds ids("\xff\x02", 0);
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], 255);
  EXPECT_EQ(ids[1], 2);
}

TEST(ExpertIds, TheLowerByteComesFirstAndHalfAnIdIsLeftOut) {
  const ExpertIds ids(std::string_view("\x01\x02\x03", 3), 2);
  ASSERT_EQ(ids.size(), 1u);
  EXPECT_EQ(ids[0], 0x0201);
}

}  // namespace
}  // namespace grouper
