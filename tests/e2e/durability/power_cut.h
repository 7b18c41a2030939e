// Models what a power cut may leave of a run. The record of power_shim.cc is replayed up to some
// place. What no sync had covered by then may be there, may be missing, or may be there in part.
//   1. A synced file holds its bytes. Of the writes after the sync any part may be there, also a
//   size
//      without its bytes.
//   2. A synced folder holds its names. Of the changes to its names after the sync any may be
//   there.
//      A rename is done completely or not at all.
//   3. Nothing else is promised, neither the name of a synced file nor the order of two folders.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace grouper::testing {

class PowerRecord {
 public:
  explicit PowerRecord(const std::string& file);
  size_t size() const { return ops_.size(); }
  // "R checkpoints/step-00000001.tmp checkpoints/step-00000001", without the bytes of a write.
  const std::string& line(size_t op) const { return ops_[op].line; }

  struct Op {
    char kind = 0;
    std::string line, one, other, bytes;
    uint64_t inode = 0, at = 0;
  };
  const Op& op(size_t index) const { return ops_[index]; }

 private:
  std::vector<Op> ops_;
};

// The disk while the record is replayed. Not thread-safe.
class PowerDisk {
 public:
  PowerDisk();
  ~PowerDisk();
  void Apply(const PowerRecord::Op& op);
  // Writes what the cut leaves here and now into `folder`, which it empties first.
  void Cut(std::mt19937_64* dice, const std::string& folder) const;

 private:
  struct Node;
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  std::shared_ptr<Node> Find(const std::string& path) const;
  static void Materialize(const Node& node, std::mt19937_64* dice, const std::string& path);

  std::shared_ptr<Node> root_;
  std::map<uint64_t, std::shared_ptr<Node>> by_inode_;
};

}  // namespace grouper::testing
