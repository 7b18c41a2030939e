// Seeded damage to record files: the reader gives records that were written, in order, and stops.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/io/record_file.h"
#include "tests/testing/mutate.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::Mutator;
using testing_support::TempFolder;

TEST(RecordFuzz, DamageNeverMakesARecord) {
  const TempFolder folder;
  const std::vector<std::string> records = {"first", "", std::string(70, 'r'), "last"};
  const std::string path = JoinPath(folder.path(), "good");
  {
    RecordWriter writer(path);
    for (const std::string& record : records) writer.Append(record);
  }
  const std::string good = ReadFile(path, "t");
  const std::string empty_frame = good.substr(8 + 4 + 5 + 4, 16);
  int whole = 0, cut = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    Mutator mutator(round, {std::string(8, '\0'), std::string(8, '\xFF'), empty_frame,
                            empty_frame.substr(0, 12), "first", good});
    const std::string text = round % 4 == 0   ? mutator.RandomBytes(60)
                             : round % 4 == 1 ? mutator.RandomPieces(6)
                                              : mutator.Damaged(good);
    const std::string damaged = folder.Write("damaged", text);
    RecordReader reader(damaged);
    std::string record;
    uint64_t bytes = 0;
    while (reader.Next(&record)) {
      ASSERT_NE(std::find(records.begin(), records.end(), record), records.end()) << round;
      bytes += record.size() + 16;
      ASSERT_EQ(reader.valid_bytes(), bytes) << round;
    }
    ASSERT_EQ(reader.torn(), bytes < text.size()) << round;
    ASSERT_EQ(RecordResumeOffset(damaged, -1), bytes) << round;
    ++(reader.torn() ? cut : whole);
  }
  EXPECT_GT(whole, 5);
  EXPECT_GT(cut, 100);
}

}  // namespace
}  // namespace grouper
