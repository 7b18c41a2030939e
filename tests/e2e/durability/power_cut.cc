#include "tests/e2e/durability/power_cut.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/error.h"
#include "base/io/file.h"

namespace grouper::testing {

PowerRecord::PowerRecord(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  Op op;
  while (std::getline(in, op.line)) {
    std::istringstream words(op.line);
    words >> op.kind;
    if (op.kind == 'W') {
      size_t bytes = 0;
      words >> op.inode >> op.at >> bytes;
      op.bytes.resize(bytes);
      in.read(op.bytes.data(), static_cast<std::streamsize>(bytes));
    } else if (op.kind == 'T') {
      words >> op.inode >> op.at;
    } else if (op.kind == 'F') {
      words >> op.inode;
    } else if (op.kind == 'C') {
      words >> op.one >> op.inode;
    } else {
      words >> op.one >> op.other;
    }
    CHECK(!words.fail() || op.other.empty(), "[power] a record cannot be read", op.line);
    ops_.push_back(std::move(op));
    op = {};
  }
}

// For a file, the bytes that are synced and what was done since; for a folder, the same of its
// names.
struct PowerDisk::Node {
  bool folder = false;
  std::string synced, live;
  std::vector<PowerRecord::Op> writes;
  Names synced_names, live_names;
  std::vector<std::function<void(Names*)>> changes;

  void Change(std::function<void(Names*)> change) {
    change(&live_names);
    changes.push_back(std::move(change));
  }
};

namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void Write(const PowerRecord::Op& op, size_t bytes, bool zeros, std::string* content) {
  if (op.kind == 'T') {
    content->resize(op.at);
    return;
  }
  if (content->size() < op.at + bytes) content->resize(op.at + bytes);  // with zeros
  if (!zeros) content->replace(op.at, bytes, op.bytes, 0, bytes);
}

bool Flip(std::mt19937_64* dice) { return (*dice)() % 2 == 0; }

}  // namespace

PowerDisk::PowerDisk() : root_(std::make_shared<Node>()) { root_->folder = true; }
PowerDisk::~PowerDisk() = default;

std::shared_ptr<PowerDisk::Node> PowerDisk::Find(const std::string& path) const {
  std::shared_ptr<Node> node = root_;
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '/');) {
    if (part == ".") continue;
    const auto found = node->live_names.find(part);
    CHECK(found != node->live_names.end(), "[power] no such path in the record", path);
    node = found->second;
  }
  return node;
}

void PowerDisk::Apply(const PowerRecord::Op& op) {
  const std::string name = NameOf(op.one), other = NameOf(op.other);
  switch (op.kind) {
    case 'C':
    case 'M': {
      auto node = std::make_shared<Node>();
      node->folder = op.kind == 'M';
      if (op.kind == 'C') by_inode_[op.inode] = node;
      Find(FolderOf(op.one))->Change([=](Names* names) { (*names)[name] = node; });
      break;
    }
    case 'W':
    case 'T': {
      Node& node = *by_inode_.at(op.inode);
      Write(op, op.bytes.size(), false, &node.live);
      node.writes.push_back(op);
      break;
    }
    case 'F': {
      Node& node = *by_inode_.at(op.inode);
      node.synced = node.live;
      node.writes.clear();
      break;
    }
    case 'D': {
      Node& node = *Find(op.one);
      node.synced_names = node.live_names;
      node.changes.clear();
      break;
    }
    case 'U':
      Find(FolderOf(op.one))->Change([=](Names* names) { names->erase(name); });
      break;
    case 'R':
    case 'E': {
      CHECK(FolderOf(op.one) == FolderOf(op.other), "[power] renamed between folders", op.line);
      const std::shared_ptr<Node> from = Find(op.one);
      const std::shared_ptr<Node> to = op.kind == 'E' ? Find(op.other) : nullptr;
      Find(FolderOf(op.one))->Change([=](Names* names) {
        names->erase(name);
        if (to != nullptr) (*names)[name] = to;
        (*names)[other] = from;
      });
      break;
    }
    default:
      CHECK(false, "[power] an unknown record", op.line);
  }
}

void PowerDisk::Cut(std::mt19937_64* dice, const std::string& folder) const {
  RemoveTree(folder);
  Materialize(*root_, dice, folder);
}

void PowerDisk::Materialize(const Node& node, std::mt19937_64* dice, const std::string& path) {
  // Applies all later operations, none, those up to some place, or any subset.
  const uint64_t kind = (*dice)() % 4;
  const size_t count = node.folder ? node.changes.size() : node.writes.size();
  const size_t end = kind == 2 && count > 0 ? (*dice)() % count : kind == 1 ? 0 : count;
  if (!node.folder) {
    std::string content = node.synced;
    for (size_t i = 0; i < end; ++i) {
      const PowerRecord::Op& op = node.writes[i];
      if (kind == 3 && Flip(dice)) continue;
      const bool torn = kind != 0 && i + 1 == end && Flip(dice) && !op.bytes.empty();
      Write(op, torn ? (*dice)() % op.bytes.size() : op.bytes.size(), kind == 3 && Flip(dice),
            &content);
    }
    std::ofstream(path, std::ios::binary) << content;
    return;
  }
  Names names = node.synced_names;
  for (size_t i = 0; i < end; ++i) {
    if (kind != 3 || Flip(dice)) node.changes[i](&names);
  }
  std::filesystem::create_directory(path);  // unsynced: an image is for this process alone
  for (const auto& [name, child] : names) Materialize(*child, dice, JoinPath(path, name));
}

}  // namespace grouper::testing
