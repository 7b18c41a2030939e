// What reading a checkpoint costs: each byte once, and little memory.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "base/digest.h"
#include "base/io/file.h"
#include "policy/checkpoint/checkpoint.h"
#include "policy/init.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_policy.h"

namespace grouper {
namespace {

using testing_support::TempFolder;

struct World {
  explicit World(uint64_t seed)
      : policy(testing::ParsePolicy("vocab_size: 999 width: 64 layers: 2 dense_width: 256 "
                                    "max_positions: 32 moe { experts: 0 } "
                                    "attention { heads: 4 kv_heads: 2 head_dim: 16 }"),
               DType::kFloat32),
        optimizer(&policy.weights()) {
    InitRandom(seed, &policy.weights(), stream);
  }
  Stream stream{cpu::Isa::kScalar, nullptr};
  Policy policy;
  Optimizer optimizer;
};

// Bytes that read() has given this process.
int64_t BytesRead() {
  std::ifstream in("/proc/self/io");
  std::string name;
  int64_t value = 0;
  in >> name >> value;
  EXPECT_EQ(name, "rchar:");
  return value;
}

int64_t SizeOf(const std::string& folder) {
  int64_t bytes = 0;
  for (const std::string& name : ListFolder(folder)) {
    bytes += static_cast<int64_t>(FileSize(JoinPath(folder, name)));
  }
  return bytes;
}

TEST(CheckpointReading, EachFileIsReadOnce) {
  const TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "c");
  World saved(1), reference(2), loaded(3);
  SaveCheckpoint(folder, saved.policy, &saved.optimizer, {}, &reference.policy);
  const int64_t size = SizeOf(folder);
  ASSERT_GT(size, 1'000'000);
  const auto cost = [](const std::function<void()>& call) {
    const int64_t before = BytesRead();
    call();
    return BytesRead() - before;
  };
  const int64_t load = cost([&] {
    LoadCheckpoint(folder, &loaded.policy, &loaded.optimizer);
    LoadReference(folder, &reference.policy);
  });
  const int64_t verify = cost([&] { VerifyCheckpoint(folder); });
  for (const int64_t bytes : {load, verify}) {
    EXPECT_GE(bytes, size);
    EXPECT_LT(bytes, size + size / 20);
  }
  EXPECT_LT(cost([&] { ReadCheckpointManifest(folder); }), size / 20);
}

// The file is of zeros that take no room on the disk.
TEST(CheckpointReading, ALargeFileIsHashedInLittleMemory) {
  const TempFolder temp;
  constexpr int64_t kBytes = int64_t{192} << 20;
  temp.Write("large", "");
  ASSERT_EQ(truncate(JoinPath(temp.path(), "large").c_str(), kBytes), 0);
  Sha256 hash;
  const std::string piece(1 << 20, '\0');
  for (int64_t done = 0; done < kBytes; done += static_cast<int64_t>(piece.size())) {
    hash.Update(piece);
  }
  Manifest manifest;
  ManifestFile* file = manifest.add_file();
  file->set_name("large");
  file->set_bytes(kBytes);
  file->set_sha256(hash.FinishHex());
  StoreManifest(temp.path(), manifest);
  const auto most_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const int64_t before = most_kib();
  VerifyCheckpoint(temp.path());
  EXPECT_LT(most_kib() - before, 16 << 10);
}

}  // namespace
}  // namespace grouper
