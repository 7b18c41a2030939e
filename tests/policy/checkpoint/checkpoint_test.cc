// Checkpoints: what is saved comes back bit for bit, what is damaged is refused in words, and a
// kill at any place leaves the old folder, the new one or none, never half of one.
#include "policy/checkpoint/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "base/digest.h"
#include "base/io/file.h"
#include "base/io/json.h"
#include "base/random.h"
#include "kernels/numerics.h"
#include "policy/checkpoint/file_tensors.h"
#include "policy/init.h"
#include "proto/textproto.h"
#include "tests/testing/temp_folder.h"

namespace grouper {
namespace {

using testing_support::TempFolder;
using testing_support::UserErrorOf;

constexpr const char* kShape =
    "vocab_size: 9 width: 8 layers: 2 dense_layers: 1 dense_width: 12 max_positions: 32 "
    "attention { heads: 4 kv_heads: 2 head_dim: 4 } "
    "moe { experts: 4 experts_per_token: 2 width: 6 shared_width: 5 }";

PolicyConfig ConfigOf(const std::string& change = "") {
  PolicyConfig config;
  MergeTextproto(kShape, "test policy", &config);
  MergeTextproto(change, "change", &config);
  return config;
}

// A policy and its optimizer after some updates with made-up gradients.
struct World {
  explicit World(uint64_t seed, const std::string& change = "", DType dtype = DType::kFloat32)
      : policy(ConfigOf(change), dtype), optimizer(&policy.weights()) {
    InitRandom(seed, &policy.weights(), stream);
  }
  void Learn(int updates) {
    Weights& weights = policy.weights();
    float* grads = static_cast<float*>(optimizer.grads().data());
    const float* values = static_cast<const float*>(weights.values().data());
    for (int u = 0; u < updates; ++u) {
      for (int64_t i = 0; i < weights.elements(); ++i) {
        const uint32_t word = PhiloxAt(7, RandomStream::kDataOrder, static_cast<uint64_t>(u),
                                       static_cast<uint32_t>(i))[0];
        // Padded columns hold zeros and have no gradient.
        grads[i] = values[i] == 0 ? 0 : static_cast<float>(word) * 0x1p-32f - 0.5f;
      }
      optimizer.Update(stream, {.weight_decay = 0.1}, 1e-2);
      weights.router_bias().as<float>()[u % 4] += 0.125f;
    }
  }
  void Save(const std::string& folder, int64_t step = 5) {
    Manifest manifest;
    manifest.set_step(step);
    manifest.set_policy_version(17);
    manifest.set_seed(3);
    manifest.set_prompts_used(40);
    SaveCheckpoint(folder, policy, &optimizer, manifest);
  }
  Stream stream{cpu::Isa::kScalar, nullptr};
  Policy policy;
  Optimizer optimizer;
};

bool SameBytes(const Buffer& a, const Buffer& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

TEST(Checkpoint, WeightsBiasAndMomentsComeBackBitForBit) {
  const TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "step-5");
  World saved(1);
  saved.Learn(6);
  saved.Save(folder);
  EXPECT_EQ(ListFolder(folder),
            (std::vector<std::string>{"MANIFEST", "model.safetensors", "optimizer.safetensors"}));
  EXPECT_EQ(ListFolder(temp.path()), std::vector<std::string>{"step-5"});
  World loaded(2);
  LoadCheckpoint(folder, &loaded.policy, &loaded.optimizer);
  EXPECT_TRUE(SameBytes(loaded.policy.weights().values(), saved.policy.weights().values()));
  EXPECT_TRUE(SameBytes(loaded.optimizer.m(), saved.optimizer.m()));
  EXPECT_TRUE(SameBytes(loaded.optimizer.v(), saved.optimizer.v()));
  EXPECT_EQ(loaded.policy.weights().Digest(), saved.policy.weights().Digest()) << "router bias";
  const Manifest manifest = VerifyCheckpoint(folder);
  EXPECT_EQ(manifest.step(), 5);
  EXPECT_EQ(manifest.policy_version(), 17u);
  EXPECT_EQ(manifest.prompts_used(), 40u);
  EXPECT_EQ(manifest.numeric_profile(), numerics::kCpuProfile);
  EXPECT_EQ(manifest.tables_sha256(), saved.policy.rope().Sha256());
  EXPECT_EQ(ToTextproto(CheckpointPolicyConfig(manifest)), ToTextproto(ConfigOf()));
  // Saved again the folder has the same bytes.
  const std::string again = JoinPath(temp.path(), "again");
  loaded.Save(again);
  for (const std::string& name : ListFolder(folder)) {
    EXPECT_EQ(ReadFile(JoinPath(folder, name), "a"), ReadFile(JoinPath(again, name), "b")) << name;
  }
}

TEST(Checkpoint, AnotherProfileCannotBeResumedButGivesItsWeights) {
  const TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "step-5");
  World saved(1);
  saved.Save(folder);
  Manifest manifest = VerifyCheckpoint(folder);
  manifest.set_numeric_profile("cpu-fp32-1");
  StoreManifest(folder, manifest);
  World loaded(2);
  const std::string words =
      UserErrorOf([&] { LoadCheckpoint(folder, &loaded.policy, &loaded.optimizer); });
  EXPECT_NE(words.find("start a run with init_from"), std::string::npos) << words;
  EXPECT_NE(words.find("checkpoint_profile=cpu-fp32-1"), std::string::npos) << words;
  EXPECT_FALSE(SameBytes(loaded.policy.weights().values(), saved.policy.weights().values()));
  LoadCheckpoint(folder, &loaded.policy, nullptr);
  EXPECT_TRUE(SameBytes(loaded.policy.weights().values(), saved.policy.weights().values()));
}

// The header read by hand: names sorted, their bytes one after the other.
TEST(Checkpoint, TheWeightsDigestIsOverTheFileFormInOrderOfName) {
  const TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "c");
  World world(1);
  world.Learn(2);
  world.Save(folder);
  const std::string file = ReadFile(JoinPath(folder, "model.safetensors"), "model");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  const Json header = ParseJson(file.substr(8, header_bytes), "header");
  std::map<std::string, std::string> tensors;
  for (const auto& [name, entry] : header.members) {
    if (name == "__metadata__") continue;
    const Json& offsets = entry.At("data_offsets", "header");
    const size_t begin = static_cast<size_t>(offsets.items[0].number),
                 end = static_cast<size_t>(offsets.items[1].number);
    tensors[name] = file.substr(8 + header_bytes + begin, end - begin);
  }
  EXPECT_EQ(tensors.size(), 35u);
  std::string all;
  for (const auto& [name, bytes] : tensors) all += bytes;
  EXPECT_EQ(Sha256Hex(all), VerifyCheckpoint(folder).weights_sha256());
  EXPECT_EQ(Sha256Hex(all), WeightsSha256(world.policy.weights()));
  // A projection is stored [out, in]: row 1 of up_proj is column width + 1 of the packed pair.
  const std::string& up = tensors.at("model.layers.0.mlp.up_proj.weight");
  ASSERT_EQ(up.size(), 12u * 8 * 4);
  float stored = 0;
  std::memcpy(&stored, up.data() + (1 * 8 + 3) * 4, 4);
  EXPECT_EQ(stored,
            world.policy.weights().tensors().layers[0].dense_gate_up.as<float>()[3 * 32 + 13]);
}

bool AllNan(const std::string& bytes) {
  return bytes.find_first_not_of('\xff') == std::string::npos;
}

// A saved checkpoint to damage, and a policy and a reference that must not take a bit of it.
struct Damaged {
  Damaged() {
    World saved(1), frozen(4);
    saved.Learn(3);
    SaveCheckpoint(folder, saved.policy, &saved.optimizer, {}, &frozen.policy);
    before = Bytes();
  }
  // The weights, the moments and the weights of the reference.
  std::vector<std::string> Bytes() {
    std::vector<std::string> bytes;
    for (const Buffer* buffer : std::initializer_list<const Buffer*>{
             &victim.policy.weights().values(), &victim.optimizer.m(), &victim.optimizer.v(),
             &reference.policy.weights().values()}) {
      bytes.emplace_back(static_cast<const char*>(buffer->data()), buffer->bytes());
    }
    return bytes;
  }
  // As a resume does.
  void Load() {
    LoadCheckpoint(folder, &victim.policy, &victim.optimizer);
    LoadReference(folder, &reference.policy);
  }
  // 1 when the file with these bytes is refused in words and no number of it can be used: the
  // numbers are as they were, or NaN.
  int Refused(const std::string& name, const std::string& bytes, const std::string& how) {
    SCOPED_TRACE(name + " " + how);
    unlink(JoinPath(folder, name).c_str());  // some file systems flush a file that is cut and
    temp.Write("c/" + name, bytes);          // written again
    std::string words;
    try {
      Load();
    } catch (const Error& error) {
      words = error.message();
      EXPECT_EQ(error.kind(), ErrorKind::kUser);
    }
    const bool named =
        words.find("checkpoint") != std::string::npos && words.find(name) != std::string::npos;
    EXPECT_TRUE(named) << "\"" << words << "\"";
    bool unusable = true;
    const std::vector<std::string> after = Bytes();
    for (size_t i = 0; i < after.size(); ++i) {
      const bool is_reference = i + 1 == after.size();
      // Where only the reference is damaged, the weights and the moments were loaded well.
      if (name == "reference.safetensors" && !is_reference) continue;
      unusable = unusable && (after[i] == before[i] || AllNan(after[i]));
    }
    EXPECT_TRUE(unusable) << "half a checkpoint was loaded";
    return named && unusable ? 1 : 0;
  }
  void Heal(const std::string& name, const std::string& whole) {
    temp.Write("c/" + name, whole);
    EXPECT_NO_THROW(VerifyCheckpoint(folder));
  }

  TempFolder temp;
  std::string folder = JoinPath(temp.path(), "c");
  World victim{2}, reference{3};
  std::vector<std::string> before;
};

// One bit at a time, at seeded places over all files.
TEST(Checkpoint, AThousandFlippedBitsOfAThousandAreFound) {
  Damaged checkpoint;
  const std::vector<std::string> names = ListFolder(checkpoint.folder);
  int flips = 0, found = 0;
  for (size_t file = 0; file < names.size(); ++file) {
    const std::string& name = names[file];
    const std::string whole = ReadFile(JoinPath(checkpoint.folder, name), "file");
    const size_t share = 1000 / names.size() + (file < 1000 % names.size() ? 1 : 0);
    for (uint32_t i = 0; i < share; ++i, ++flips) {
      const uint64_t bit = PhiloxAt(1, RandomStream::kDataOrder, file, i)[0] % (8 * whole.size());
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      found += checkpoint.Refused(name, flipped, "bit " + std::to_string(bit));
    }
    checkpoint.Heal(name, whole);
  }
  std::printf("%d of %d flipped bits found, 0 loaded\n", found, flips);
  EXPECT_EQ(flips, 1000);
  EXPECT_EQ(found, 1000);
  EXPECT_NO_THROW(checkpoint.Load());
  const std::vector<std::string> bytes = checkpoint.Bytes();
  EXPECT_NE(bytes, checkpoint.before) << "the comparison must be able to fail";
}

// Each file cut at 64 places, from 0 bytes to all but one; then longer, doubled, gone.
TEST(Checkpoint, EveryCutOfEveryFileIsFound) {
  Damaged checkpoint;
  int cuts = 0, found = 0;
  for (const std::string& name : ListFolder(checkpoint.folder)) {
    const std::string path = JoinPath(checkpoint.folder, name), whole = ReadFile(path, "file");
    for (uint32_t i = 0; i < 64; ++i, ++cuts) {
      const size_t size = i == 0   ? 0
                          : i == 1 ? whole.size() - 1
                                   : PhiloxAt(2, RandomStream::kDataOrder, 0, i)[0] % whole.size();
      found += checkpoint.Refused(name, whole.substr(0, size), "cut to " + std::to_string(size));
    }
    EXPECT_EQ(checkpoint.Refused(name, whole + "\n", "with a byte more"), 1);
    EXPECT_EQ(checkpoint.Refused(name, whole + whole, "twice"), 1);
    ASSERT_EQ(unlink(path.c_str()), 0);
    EXPECT_NE(UserErrorOf([&] { VerifyCheckpoint(checkpoint.folder); }).find(name),
              std::string::npos);
    checkpoint.Heal(name, whole);
  }
  std::printf("%d of %d cuts found (64 a file), 0 loaded\n", found, cuts);
  EXPECT_EQ(cuts, 4 * 64);  // weights, moments, reference, manifest
  EXPECT_EQ(found, cuts);
}

TEST(Checkpoint, AnotherPolicyProfileOrTableIsRefusedInWords) {
  const TempFolder temp;
  const std::string folder = JoinPath(temp.path(), "c");
  World saved(1);
  saved.Save(folder);
  const auto refused = [&](const std::string& change, const std::string& words) {
    World other(2, change);
    const std::string error =
        UserErrorOf([&] { LoadCheckpoint(folder, &other.policy, &other.optimizer); });
    EXPECT_NE(error.find(words), std::string::npos) << error;
  };
  refused("layers: 1", "layers");
  refused("layers: 3", "layers");
  refused("dense_width: 13", "dense_width");
  // The same tensors, another function.
  refused("attention { heads: 8 head_dim: 2 kv_heads: 4 }", "heads");
  refused("attention { rope_theta: 5000 }", "rope_theta");
  refused("moe { renormalize: false }", "renormalize");
  World wide(2, "", DType::kFloat64);
  EXPECT_NE(UserErrorOf([&] { LoadCheckpoint(folder, &wide.policy, nullptr); }).find("type"),
            std::string::npos);
  // Defaults written out are the same policy; a longer context takes the weights, no resume.
  World same(2, "rms_norm_eps: 1e-6 moe { scale: 1 } attention { rope_theta: 10000 }");
  EXPECT_NO_THROW(LoadCheckpoint(folder, &same.policy, &same.optimizer));
  World longer(2, "max_positions: 64");
  EXPECT_NO_THROW(LoadCheckpoint(folder, &longer.policy, nullptr));
  refused("max_positions: 64", "table");

  const std::string weights_only = JoinPath(temp.path(), "w");
  SaveCheckpoint(weights_only, saved.policy, nullptr, {});
  EXPECT_NO_THROW(LoadCheckpoint(weights_only, &same.policy, nullptr));
  // An optimizer file that no manifest vouches for is not read.
  temp.Write("w/optimizer.safetensors",
             ReadFile(JoinPath(folder, "optimizer.safetensors"), "moments"));
  EXPECT_NE(UserErrorOf([&] {
              LoadCheckpoint(weights_only, &same.policy, &same.optimizer);
            }).find("optimizer.safetensors"),
            std::string::npos);
}

const char* const kKillPoints[] = {"checkpoint.begun",
                                   "checkpoint.model_written",
                                   "checkpoint.optimizer_written",
                                   "checkpoint.manifest_written",
                                   "checkpoint.exchanged",
                                   "checkpoint.renamed"};

// Run by the test below in a process of its own, which a kill point ends.
TEST(Checkpoint, DISABLED_Victim) {
  const char* folder = std::getenv("GROUPER_TEST_CHECKPOINT");
  ASSERT_NE(folder, nullptr);
  World world(2);
  world.Save(folder, 6);
}

int RunVictim(const std::string& folder, const std::string& kill_point) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("GROUPER_TEST_CHECKPOINT", folder.c_str(), 1);
    setenv("GROUPER_KILL_POINT", kill_point.c_str(), 1);
    execl("/proc/self/exe", "victim", "--gtest_also_run_disabled_tests",
          "--gtest_filter=Checkpoint.DISABLED_Victim", "--gtest_brief=1", nullptr);
    _exit(99);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Checkpoint, AKillAtAnyPlaceLeavesTheOldOneTheNewOneOrNone) {
  for (bool replaces : {false, true}) {
    for (const char* point : kKillPoints) {
      // Without an older folder nothing is exchanged.
      if (!replaces && std::strcmp(point, "checkpoint.exchanged") == 0) continue;
      SCOPED_TRACE(std::string(point) + (replaces ? " over an older one" : ""));
      const TempFolder temp;
      const std::string folder = JoinPath(temp.path(), "c");
      if (replaces) World(1).Save(folder);
      const int status = RunVictim(folder, point);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
      const bool late = std::strcmp(point, "checkpoint.renamed") == 0 ||
                        std::strcmp(point, "checkpoint.exchanged") == 0;
      ASSERT_EQ(FolderExists(folder), replaces || late);
      if (FolderExists(folder)) {
        World loaded(3);
        ASSERT_NO_THROW(LoadCheckpoint(folder, &loaded.policy, &loaded.optimizer));
        EXPECT_EQ(VerifyCheckpoint(folder).step(), late ? 6 : 5);
      }
      // What a kill left on the disk does not disturb the next save.
      World(4).Save(folder, 7);
      EXPECT_EQ(VerifyCheckpoint(folder).step(), 7);
      EXPECT_EQ(ListFolder(temp.path()), std::vector<std::string>{"c"});
    }
  }
}

}  // namespace
}  // namespace grouper
