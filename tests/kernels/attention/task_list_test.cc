// The long tail of a rollout: a few long sequences keep many threads busy, and the splits that they
// share give the bits of one thread.
#include "kernels/attention/task_list.h"

#include "kernels/attention/attention.h"
#include "tests/testing/kernel_case.h"

namespace grouper {
namespace {

using cpu::DivideForward;
using cpu::ForwardTasks;
using testing::Normal;
using testing::Owned;
using testing::SameBits;

constexpr int64_t k8k = 8192;

TEST(AttentionTasks, FewLongSequencesKeepSixteenThreadsBusy) {
  for (int64_t kv_heads : {1, 2, 4, 8}) {
    for (int64_t sequences : {1, 3, 15}) {
      const ForwardTasks tasks = DivideForward(sequences, 8, kv_heads, k8k, 16, /*may_split=*/true);
      const int64_t possible = kv_heads * ((k8k + 511) / 512);
      EXPECT_GE(tasks.Count(sequences, kv_heads), std::min<int64_t>(16, possible))
          << kv_heads << " " << sequences;
    }
    // Training on one sequence, or on a group of completions with one prompt.
    EXPECT_FALSE(cpu::FuseBackward(1, kv_heads, 16)) << kv_heads;
  }
  // One sequence of 8 k tokens in one pass: its rows are tasks enough, without scratch.
  EXPECT_EQ(DivideForward(k8k, 8, 2, k8k, 16, true).splits, 1);
  EXPECT_GE(DivideForward(k8k, 8, 2, k8k, 16, true).Count(k8k, 2), 16);
}

TEST(AttentionTasks, OneThreadAndManyRowsAreNotDividedFurther) {
  EXPECT_EQ(DivideForward(1, 8, 2, k8k, 1, true).Count(1, 2), 1);
  const ForwardTasks many = DivideForward(4096, 8, 2, k8k, 4, true);
  EXPECT_EQ(many.tokens, cpu::kMaxRows / 4);
  EXPECT_FALSE(many.heads_apart);
  EXPECT_EQ(AttentionScratch(4, 4096, k8k, 8, 2, 64), 0);
  EXPECT_EQ(AttentionScratch(16, 1, k8k, 8, 2, 64), 8 * 16 * 66);
  EXPECT_EQ(AttentionScratch(16, 1, 512, 8, 2, 64), 0) << "one split";
}

// Sequences whose last positions lie in different splits; only some rows are new.
TEST(AttentionTasks, SharedSplitsGiveTheBitsOfOneThread) {
  constexpr int64_t kHeads = 6, kKvHeads = 2, kDim = 20;
  const std::vector<int64_t> ends = {1, 511, 512, 513, 1100, 1600};
  const int64_t sequences = static_cast<int64_t>(ends.size()), table_width = 26;
  for (int64_t rows : {1, 3}) {  // per sequence
    const int64_t blocks = sequences * table_width;
    Owned keys = Normal(DType::kFloat32, {blocks, kKvHeads, kDim, 64}, 1);
    Owned values = Normal(DType::kFloat32, {blocks, kKvHeads, 64, kDim}, 2);
    Owned table(DType::kInt32, {sequences, table_width});
    for (int64_t i = 0; i < blocks; ++i) table.Put(i, static_cast<double>(blocks - 1 - i));
    std::vector<int64_t> positions, owners;
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t p = std::max<int64_t>(0, ends[static_cast<size_t>(s)] - rows);
           p < ends[static_cast<size_t>(s)]; ++p) {
        positions.push_back(p);
        owners.push_back(s);
      }
    }
    const int64_t tokens = static_cast<int64_t>(positions.size());
    Owned position(DType::kInt32, {tokens}), sequence(DType::kInt32, {tokens});
    for (int64_t t = 0; t < tokens; ++t) {
      position.Put(t, static_cast<double>(positions[static_cast<size_t>(t)]));
      sequence.Put(t, static_cast<double>(owners[static_cast<size_t>(t)]));
    }
    const Owned q = Normal(DType::kFloat32, {tokens, kHeads * kDim}, 3);
    const auto run = [&](Stream stream, int64_t scratch) {
      Owned out(DType::kFloat32, {tokens, kHeads * kDim});
      Owned stats(DType::kFloat32, {tokens, kHeads, 2});
      Owned splits(DType::kFloat32, {scratch});
      std::fill_n(splits.view.as<float>(), scratch, std::nanf(""));
      Attention(stream, {.q = q,
                         .sequence = sequence,
                         .positions = position,
                         .block_table = table,
                         .k_cache = keys,
                         .v_cache = values,
                         .out = out,
                         .max_and_sum = stats,
                         .splits = scratch > 0 ? splits.view : Tensor(),
                         .heads = kHeads,
                         .scale = 0.3});
      return std::pair(out, stats);
    };
    const auto expected = run({cpu::Isa::kScalar, nullptr}, 0);
    for (cpu::Isa isa : cpu::AvailableIsas()) {
      for (int threads : {2, 5, 16, 40}) {
        cpu::ThreadPool pool(threads);
        const int64_t scratch = AttentionScratch(threads, tokens, 1600, kHeads, kKvHeads, kDim);
        for (int64_t given : {int64_t{0}, scratch}) {
          const auto got = run({isa, &pool}, given);
          EXPECT_TRUE(SameBits(got.first, expected.first)) << cpu::NameOf(isa) << threads;
          EXPECT_TRUE(SameBits(got.second, expected.second)) << cpu::NameOf(isa) << threads;
        }
        if (threads == 40) EXPECT_GT(scratch, 0) << "no split was shared";
      }
    }
  }
}

}  // namespace
}  // namespace grouper
