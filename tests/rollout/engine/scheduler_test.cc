// Scheduler and cache under random work. A stand-in for the policy writes a hash of each prefix
// into the blocks it is given and draws the next token from what it reads back there, so a block
// that was lost, shared wrongly or overwritten shows as another token. Free blocks hold NaN.
#include "rollout/engine/scheduler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/random.h"
#include "proto/textproto.h"

namespace grouper {
namespace {

// 24 bits, so a float holds it.
float HashOf(float before, int32_t token, int64_t position) {
  const PhiloxWords w = PhiloxAt(static_cast<uint64_t>(before), RandomStream::kDataOrder,
                                 static_cast<uint64_t>(token), static_cast<uint32_t>(position));
  return static_cast<float>(w[0] >> 8);
}
int32_t NextToken(float hash, uint64_t rollout_id) {
  return static_cast<int32_t>(
      PhiloxAt(rollout_id, RandomStream::kTokenSampling, static_cast<uint64_t>(hash), 0)[0] % 1000);
}

struct Draws {
  uint64_t trial;
  uint32_t next = 0;
  int64_t In(int64_t least, int64_t most) {
    const uint32_t word = PhiloxAt(99, RandomStream::kTaskGeneration, trial, next++)[0];
    return least + static_cast<int64_t>(word % static_cast<uint64_t>(most - least + 1));
  }
};

PolicyConfig TinyConfig() {
  PolicyConfig config;
  MergeTextproto("vocab_size: 9 width: 4 layers: 2 attention { heads: 1 kv_heads: 1 head_dim: 2 }",
                 "tiny", &config);
  return config;
}

class World {
 public:
  World(Draws* draws, int64_t blocks, SchedulerLimits limits, int groups, int64_t longest_prompt,
        int64_t longest_answer)
      : limits_(limits),
        cache_(TinyConfig(), DType::kFloat32,
               blocks * KvCache::BlockBytes(TinyConfig(), DType::kFloat32)),
        scheduler_(&cache_, limits),
        groups_(static_cast<size_t>(groups)),
        states_(groups_.size()) {
    const int64_t edges[] = {1, 2, 63, 64, 65, 128, 129};
    uint64_t id = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      int64_t length = draws->In(0, 1) == 0 ? edges[draws->In(0, 6)] : draws->In(1, longest_prompt);
      length = std::min(length, longest_prompt);
      for (int64_t t = 0; t < length; ++t) {
        states_[g].prompt_ids.push_back(static_cast<int32_t>(draws->In(0, 999)));
      }
      const int64_t members = draws->In(1, 6);
      for (int64_t m = 0; m < members; ++m) {
        groups_[g].add_completions()->set_rollout_id(id);
        wanted_[id++] = draws->In(1, longest_answer);
        bound_ += length + wanted_[id - 1];
      }
      bound_ += length;
      states_[g].group = &groups_[g];
    }
    for (int32_t block = 0; block < cache_.blocks(); ++block) Poison(block);
    for (GroupState& state : states_) scheduler_.AddGroup(&state);
  }

  // Runs to the end; false with a test failure at the first fault.
  bool Run() {
    for (int64_t step = 0; !scheduler_.idle(); ++step) {
      if (step > 4 * bound_ + 100) {
        ADD_FAILURE() << "no end after " << step << " steps";
        return false;
      }
      const std::vector<WorkItem> items = scheduler_.Schedule();
      ++steps_;
      if (scheduler_.idle()) break;
      CheckItems(items);
      CheckOwners();
      for (const WorkItem& item : items) CheckMemory(item, item.begin);
      for (const WorkItem& item : items) Write(item);
      for (const WorkItem& item : items) CheckMemory(item, item.begin + item.count);
      for (const WorkItem& item : items) Accept(item);
      CheckOwners();
      if (::testing::Test::HasFailure()) return false;
    }
    EXPECT_EQ(cache_.free_blocks(), cache_.blocks()) << "every block comes back";
    EXPECT_TRUE(live_.empty());
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const Completion& c : groups_[g].completions()) ExpectReference(states_[g], c);
    }
    return !::testing::Test::HasFailure();
  }
  int64_t preemptions() const { return scheduler_.preemptions(); }
  int64_t dropped_prompts() const { return dropped_; }
  int64_t shared_blocks() const { return shared_; }
  // Tokens of completions that had been in the cache before, and those that were sampled.
  int64_t recomputed() const { return recomputed_; }
  int64_t sampled() const { return sampled_; }
  int64_t steps() const { return steps_; }

 private:
  float* KeyAt(int32_t block, int64_t position) {
    return cache_.keys(1).as<float>() + block * 128 + position % 64;
  }
  float* ValueAt(int32_t block, int64_t position) {
    return cache_.values(0).as<float>() + block * 128 + position % 64 * 2;
  }
  void Poison(int32_t block) {
    for (int64_t layer = 0; layer < 2; ++layer) {
      for (const Tensor& t : {cache_.keys(layer), cache_.values(layer)}) {
        std::fill_n(t.as<float>() + block * 128, 128, std::numeric_limits<float>::quiet_NaN());
      }
    }
  }

  void CheckItems(const std::vector<WorkItem>& items) {
    EXPECT_FALSE(items.empty());
    int64_t prefill = 0, running = 0;
    std::set<const void*> owners;
    for (const WorkItem& item : items) {
      EXPECT_TRUE((item.prefix != nullptr) != (item.sequence != nullptr));
      EXPECT_TRUE(owners.insert(&item.kv()).second) << "one item an owner and step";
      EXPECT_GE(item.count, 1);
      EXPECT_EQ(item.begin, item.kv().cached);
      EXPECT_GE(static_cast<int64_t>(item.kv().blocks.size()),
                KvCache::BlocksFor(item.begin + item.count));
      if (item.prefix != nullptr) {
        EXPECT_LE(item.begin + item.count, item.prefix->prefix_tokens());
        EXPECT_FALSE(item.samples);
        if (item.begin == 0 && !started_.insert(item.prefix).second) ++dropped_;
      } else {
        live_.insert(item.sequence);
        ++running;
        EXPECT_EQ(item.samples,
                  item.begin + item.count == static_cast<int64_t>(item.sequence->ids.size()));
      }
      const bool decode = item.samples && item.count == 1;
      prefill += decode ? 0 : item.count;
    }
    EXPECT_LE(prefill, limits_.prefill_tokens);
    EXPECT_LE(running, limits_.max_running);
  }

  // Each block in use has exactly the owners that list it; only full blocks of a prompt have more
  // than one. Blocks that became free are spoilt.
  void CheckOwners() {
    std::map<int32_t, std::vector<std::pair<const GroupState*, size_t>>> owners;
    const auto list = [&](const GroupState* group, const CachedTokens& kv) {
      EXPECT_LE(kv.cached, static_cast<int64_t>(kv.blocks.size()) * 64);
      for (size_t i = 0; i < kv.blocks.size(); ++i) owners[kv.blocks[i]].push_back({group, i});
    };
    for (const GroupState& state : states_) list(&state, state.prefix);
    for (const Sequence* sequence : live_) list(sequence->group, sequence->kv);
    EXPECT_EQ(static_cast<int64_t>(owners.size()), cache_.blocks() - cache_.free_blocks());
    for (const auto& [block, by] : owners) {
      for (const auto& [group, index] : by) {
        if (by.size() == 1) break;
        EXPECT_EQ(group, by[0].first) << "block " << block << " has owners of two prompts";
        EXPECT_EQ(index, by[0].second);
        EXPECT_LT(static_cast<int64_t>(index), group->prefix_tokens() / 64);
      }
      shared_ += by.size() > 1 ? 1 : 0;
    }
    for (int32_t block : used_) {
      if (owners.count(block) == 0) Poison(block);
    }
    used_.clear();
    for (const auto& owner : owners) used_.insert(owner.first);
  }

  void CheckMemory(const WorkItem& item, int64_t positions) {
    float hash = 0;
    for (int64_t p = 0; p < positions; ++p) {
      hash = HashOf(hash, item.ids()[static_cast<size_t>(p)], p);
      const int32_t block = item.kv().blocks[static_cast<size_t>(p / 64)];
      if (*KeyAt(block, p) != hash || *ValueAt(block, p) != hash) {
        ADD_FAILURE() << "position " << p << " of " << item.ids().size() << " holds "
                      << *KeyAt(block, p) << ", not " << hash;
        return;
      }
    }
  }

  void Write(const WorkItem& item) {
    for (int64_t p = item.begin; p < item.begin + item.count; ++p) {
      const std::vector<int32_t>& blocks = item.kv().blocks;
      const float before = p == 0 ? 0 : *KeyAt(blocks[static_cast<size_t>((p - 1) / 64)], p - 1);
      const float hash = HashOf(before, item.ids()[static_cast<size_t>(p)], p);
      *KeyAt(blocks[static_cast<size_t>(p / 64)], p) = hash;
      *ValueAt(blocks[static_cast<size_t>(p / 64)], p) = hash;
    }
  }

  void Accept(const WorkItem& item) {
    item.kv().cached = item.begin + item.count;
    if (item.sequence != nullptr) {
      int64_t& most = most_cached_[item.sequence];
      recomputed_ += std::max<int64_t>(0, std::min(item.kv().cached, most) - item.begin);
      most = std::max(most, item.kv().cached);
    }
    if (!item.samples) return;
    Sequence* sequence = item.sequence;
    ++sampled_;
    const int64_t last = item.kv().cached - 1;
    const float hash = *KeyAt(item.kv().blocks[static_cast<size_t>(last / 64)], last);
    const int32_t token = NextToken(hash, sequence->rollout_id);
    sequence->ids.push_back(token);
    sequence->completion->add_ids(static_cast<uint32_t>(token));
    if (sequence->completion->ids_size() < wanted_.at(sequence->rollout_id)) return;
    live_.erase(sequence);
    most_cached_.erase(sequence);
    scheduler_.Finish(sequence);
  }

  void ExpectReference(const GroupState& state, const Completion& c) {
    ASSERT_EQ(c.ids_size(), wanted_.at(c.rollout_id())) << "every completion ends once";
    float hash = 0;
    int64_t position = 0;
    for (int32_t token : state.prompt_ids) hash = HashOf(hash, token, position++);
    for (uint32_t id : c.ids()) {
      const int32_t token = NextToken(hash, c.rollout_id());
      ASSERT_EQ(static_cast<int32_t>(id), token) << "position " << position;
      hash = HashOf(hash, token, position++);
    }
  }

  SchedulerLimits limits_;
  KvCache cache_;
  Scheduler scheduler_;
  std::vector<Group> groups_;
  std::vector<GroupState> states_;
  std::map<uint64_t, int64_t> wanted_;  // tokens by rollout id
  std::set<Sequence*> live_;
  std::set<int32_t> used_;
  std::set<const GroupState*> started_;
  std::map<const Sequence*, int64_t> most_cached_;  // of the running completions
  int64_t bound_ = 0, dropped_ = 0, shared_ = 0, recomputed_ = 0, sampled_ = 0, steps_ = 0;
};

TEST(Scheduler, RandomWorkKeepsEveryBlockRightAndEveryCompletionFinishes) {
  int64_t preemptions = 0, dropped = 0, shared = 0;
  for (uint64_t trial = 0; trial < 250; ++trial) {
    SCOPED_TRACE(trial);
    Draws draws{trial};
    const int64_t longest_prompt = draws.In(0, 2) == 0 ? 5 : 200, longest_answer = draws.In(1, 150);
    const int64_t least = KvCache::BlocksFor(longest_prompt + longest_answer) + 1;
    const int64_t prefills[] = {1, 7, 64, 100, 1000};
    const SchedulerLimits limits{.max_running = draws.In(1, 12),
                                 .prefill_tokens = prefills[draws.In(0, 4)]};
    World world(&draws, least + draws.In(0, 2) * draws.In(0, 6), limits,
                static_cast<int>(draws.In(1, 7)), longest_prompt, longest_answer);
    ASSERT_TRUE(world.Run()) << "blocks from " << least << ", running " << limits.max_running
                             << ", prefill " << limits.prefill_tokens;
    preemptions += world.preemptions();
    dropped += world.dropped_prompts();
    shared += world.shared_blocks();
  }
  // The trials are of use only if these cases occurred.
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(dropped, 10);
  EXPECT_GT(shared, 1000);
}

// Long completions in a cache that holds half of them. A completion that comes back takes blocks
// only when the running ones will not need them at once; else its prefill would be thrown away.
TEST(Scheduler, APreemptedCompletionComesBackWhenThereIsRoomToStay) {
  int64_t recomputed = 0, sampled = 0, steps = 0, preemptions = 0;
  for (uint64_t trial = 0; trial < 20; ++trial) {
    SCOPED_TRACE(trial);
    Draws draws{trial};
    World world(&draws, 60, {.max_running = 24, .prefill_tokens = 256}, 8, 60, 400);
    ASSERT_TRUE(world.Run());
    recomputed += world.recomputed();
    sampled += world.sampled();
    steps += world.steps();
    preemptions += world.preemptions();
  }
  std::printf("%ld tokens sampled in %ld steps, %ld computed again, %ld preemptions\n",
              static_cast<long>(sampled), static_cast<long>(steps), static_cast<long>(recomputed),
              static_cast<long>(preemptions));
  EXPECT_GT(preemptions, 20);
  EXPECT_LT(recomputed, 10'000) << "without that room it was 19,439";
}

TEST(Scheduler, AGroupWithoutCompletionsIsPassedOver) {
  KvCache cache(TinyConfig(), DType::kFloat32,
                8 * KvCache::BlockBytes(TinyConfig(), DType::kFloat32));
  Scheduler scheduler(&cache, {});
  Group empty, full;
  full.add_completions();
  GroupState first, second;
  first.group = &empty;
  second.group = &full;
  first.prompt_ids.assign(100, 1);
  second.prompt_ids.assign(70, 2);
  scheduler.AddGroup(&first);
  scheduler.AddGroup(&second);
  bool sampled = false;
  for (int step = 0; step < 10 && !scheduler.idle(); ++step) {
    for (const WorkItem& item : scheduler.Schedule()) {
      item.kv().cached = item.begin + item.count;
      if (!item.samples) continue;
      EXPECT_EQ(item.sequence->group, &second);
      sampled = true;
      scheduler.Finish(item.sequence);
    }
  }
  EXPECT_TRUE(sampled);
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(cache.free_blocks(), cache.blocks());
}

}  // namespace
}  // namespace grouper
