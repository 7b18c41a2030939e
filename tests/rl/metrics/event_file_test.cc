#include "rl/metrics/event_file.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/io/file.h"
#include "gtest/gtest.h"
#include "proto/event.pb.h"

namespace grouper {
namespace {

using Scalars = std::vector<std::pair<std::string_view, double>>;

class EventFileTest : public testing::Test {
 protected:
  void TearDown() override { RemoveTree(path_); }
  std::vector<tensorboard::Event> Read() const {
    RecordReader reader(path_);
    std::vector<tensorboard::Event> events;
    for (std::string record; reader.Next(&record);) {
      EXPECT_TRUE(events.emplace_back().ParseFromString(record));
    }
    EXPECT_FALSE(reader.torn());
    return events;
  }
  const std::string path_ = testing::TempDir() + "events.out.tfevents.1700000000." +
                            testing::UnitTest::GetInstance()->current_test_info()->name() + ".1.0";
};

TEST_F(EventFileTest, HoldsTheVersionThenScalars) {
  EventFile file(path_, 0);
  file.AddScalars(3, 1700000000.5, Scalars{{"reward.mean", 0.25}, {"check.logprob_mismatch", 0}});
  file.AddScalars(4, 1700000001, Scalars{{"loss", std::numeric_limits<double>::quiet_NaN()}});
  file.Sync();
  EXPECT_EQ(file.offset_bytes(), FileSize(path_));
  const std::vector<tensorboard::Event> events = Read();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_GT(events[0].wall_time(), 1.5e9);
  EXPECT_FALSE(events[0].has_summary());
  EXPECT_EQ(events[1].step(), 3);
  EXPECT_EQ(events[1].wall_time(), 1700000000.5);
  ASSERT_EQ(events[1].summary().value_size(), 2);
  EXPECT_EQ(events[1].summary().value(0).tag(), "reward.mean");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 0.25f);
  // A zero must be on the wire: TensorBoard shows no value that is not.
  EXPECT_TRUE(events[1].summary().value(1).has_simple_value());
  EXPECT_TRUE(std::isnan(events[2].summary().value(0).simple_value()));
}

TEST_F(EventFileTest, BytesAreTheDocumentedWireFormat) {
  EventFile file(path_, 0);
  const uint64_t at = file.offset_bytes();
  file.AddScalars(5, 2.0, Scalars{{"a", 1.5}});
  file.Flush();
  const std::string bytes = ReadFile(path_, "events").substr(at);
  // The worked example of docs/formats.md; its checksums were computed by another program.
  const std::string expected(
      "\x17\x00\x00\x00\x00\x00\x00\x00\xe7\xce\xf8\x1e"  // length, its masked CRC32C
      "\x09\x00\x00\x00\x00\x00\x00\x00\x40\x10\x05"      // 1: double 2.0; 2: varint 5
      "\x2a\x0a\x0a\x08\x0a\x01\x61\x15\x00\x00\xc0\x3f"  // 5: {1: {1: "a", 2: 1.5f}}
      "\xa4\xce\xdd\x19",
      39);
  EXPECT_EQ(bytes, expected);
}

TEST_F(EventFileTest, ResumesAtAnOffset) {
  uint64_t keep = 0;
  {
    EventFile file(path_, 0);
    file.AddScalars(0, 1, Scalars{{"x", 1}});
    file.Sync();
    keep = file.offset_bytes();
    file.AddScalars(1, 2, Scalars{{"x", 2}});
  }
  {
    EventFile file(path_, static_cast<int64_t>(keep));
    EXPECT_EQ(file.offset_bytes(), keep);
    file.AddScalars(1, 3, Scalars{{"x", 7}});
  }
  std::vector<tensorboard::Event> events = Read();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].summary().value(0).simple_value(), 7.0f);
  { EventFile file(path_); }  // an existing file gets no second version record
  EXPECT_EQ(Read().size(), 3u);
  { EventFile file(path_, 0); }
  EXPECT_EQ(Read().size(), 1u);
  EXPECT_THROW(EventFile(path_, static_cast<int64_t>(keep)), Error);
}

}  // namespace
}  // namespace grouper
