// Mistakes of a person and faults of the machine. Each gives one clear error that names the file,
// line or field and says what to do next, with the exit code that scripts rely on, and nothing is
// lost. Other tests are about runs that began well: bad_run_test.cc (second learner, half a
// checkpoint, another tokenizer, a dying reward service), full_disk_test.cc (disk, quota, size
// limit, failed syncs), and tests/rl/training/{resume,nonfinite}_test.cc (a clock that was set
// back; NaN in logits, loss and gradient).
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "base/io/file.h"
#include "tests/e2e/program.h"

namespace grouper {
namespace {

using testing::FreshFolder;
using testing::Ran;
using testing::RunProgram;

constexpr const char* kTiny = R"(
steps: 2 prompts_per_step: 2 group_size: 2 eval_every: 0 checkpoint_every: 1
policy { width: 16 layers: 1 attention { heads: 2 kv_heads: 1 head_dim: 8 }
         moe { experts: 2 experts_per_token: 1 width: 8 shared_width: 8 } max_positions: 64 }
data { train: "tasks:calc,fit" eval: "" }
sampling { max_new_tokens: 4 }
reward { rubric { name: "calc" extraction: ANSWER_TAG component { name: "accuracy" } }
         rubric { name: "fit" extraction: ANSWER_TAG component { name: "accuracy" } }
         allow_unjudged: true }
)";

// Each file gets a folder of its own, because all rows of a table are made before the first one
// runs.
std::string Write(const std::string& folder, const std::string& name, const std::string& text) {
  static int counter = 0;
  const std::string own = JoinPath(folder, std::to_string(counter++));
  MakeFolders(own);
  const std::string path = JoinPath(own, name);
  std::ofstream(path) << text;
  return path;
}

struct Row {
  const char* name;
  std::vector<std::string> arguments;
  int code;
  std::vector<std::string> words;  // the error must contain all of them
  const char* program = "grouper";
  std::vector<std::string> environment = {};
};

class BadInput : public ::testing::Test {
 protected:
  BadInput()
      : folder_(FreshFolder("bad")),
        config_(Write(folder_, "tiny.textproto", kTiny)),
        run_(JoinPath(folder_, "run")) {}

  std::vector<std::string> Train(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train", "--config", config_, "--run", run_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> Set(const std::string& assignment) {
    return Train({"--set", assignment});
  }
  std::vector<std::string> Data(const std::string& text,
                                const std::string& more = "data.tokenizer=bytes") {
    const std::string file = Write(folder_, "rows.jsonl", text);
    return Train({"--set", "data.train=" + file, "--set", more});
  }
  std::vector<std::string> Config(const std::string& text) {
    return {"train", "--config", Write(folder_, "bad.textproto", text), "--run", run_};
  }
  static void Check(const Row& row) {
    const Ran ran = RunProgram(row.program, row.arguments, row.environment);
    EXPECT_EQ(ran.code, row.code) << row.name << "\n" << ran.err;
    for (const std::string& word : row.words) {
      EXPECT_NE(ran.err.find(word), std::string::npos) << row.name << " lacks \"" << word << "\":\n"
                                                       << ran.err;
    }
    // There is one clear error, without further ones and without output of protobuf or gRPC.
    EXPECT_LE(std::count(ran.err.begin(), ran.err.end(), '\n'), 4) << row.name << "\n" << ran.err;
  }

  std::string folder_, config_, run_;
};

TEST_F(BadInput, ConfigAndCommandLine) {
  for (const Row& row : std::vector<Row>{
           {"unknown field",
            Config("stpes: 3\n"),
            2,
            {"bad.textproto:1:", "stpes", "did you mean \"steps\""}},
           {"wrong type", Config("steps: \"three\"\n"), 2, {"bad.textproto:1:", "steps"}},
           {"unknown nested field",
            Config("data {\n  trian: \"x\"\n}\n"),
            2,
            {"bad.textproto:2:", "trian", "train"}},
           {"not textproto", Config("{]"), 2, {"bad.textproto:1:"}},
           {"unknown --set",
            Set("batch.max_tokens=3"),
            2,
            {"batch", "max_tokens", "max_tokens_per_micro_batch"}},
           {"--set of a wrong type", Set("steps=many"), 2, {"steps", "many"}},
           {"--set without a value", Set("steps"), 2, {"steps", "="}},
           {"missing config",
            {"train", "--config", folder_ + "/none.textproto", "--run", run_},
            2,
            {"none.textproto"}},
           {"no config", {"train", "--run", run_}, 2, {"--config"}},
           {"no run folder", {"train", "--config", config_}, 2, {"--run"}},
           {"group of one", Set("group_size=1"), 2, {"group_size", "2"}},
           {"temperature 0", Set("sampling.temperature=0"), 2, {"sampling.temperature", "eval"}},
           {"heads that do not divide", Set("policy.attention.heads=3"), 0, {}},
           {"kv heads that do not divide",
            Set("policy.attention.kv_heads=3"),
            2,
            {"kv_heads", "heads"}},
           {"more experts a token than experts",
            Set("policy.moe.experts_per_token=5"),
            2,
            {"experts_per_token"}},
           {"unknown tokenizer",
            Set("data.tokenizer=wrods"),
            2,
            {"data.tokenizer", "words", "bytes"}},
           {"missing data",
            Set("data.train=" + folder_ + "/none.jsonl"),
            2,
            {"data.train", "none.jsonl"}},
           {"missing checkpoint", Set("init_from=" + folder_ + "/none"), 2, {"none"}},
           {"context too short",
            Set("sampling.max_new_tokens=64"),
            2,
            {"max_positions", "sampling.max_new_tokens"}},
           {"cache too small", Set("rollout.kv_cache_bytes=1000"), 2, {"rollout.kv_cache_bytes"}},
           {"unknown component",
            Set("reward.rubric=[{name: \"calc\" component {name: \"acuracy\"}}, "
                "{name: \"fit\" component {name: \"accuracy\"}}]"),
            2,
            {"rubric", "calc", "acuracy"}},
           {"unknown instruction set",
            Set("steps=1"),
            2,
            {"GROUPER_CPU", "avx512"},
            "grouper",
            {"GROUPER_CPU=sse9"}},
           {"threads that are no number",
            Set("steps=1"),
            2,
            {"GROUPER_THREADS"},
            "grouper",
            {"GROUPER_THREADS=two"}},
           {"unknown subcommand", {"trian"}, 2, {}},
       }) {
    RemoveTree(run_);
    Check(row);
  }
}

TEST_F(BadInput, DataRows) {
  const std::string good = R"({"question": "1+1?", "answer": "2"})"
                           "\n";
  const std::string deep(100000, '[');
  for (const Row& row : std::vector<Row>{
           {"malformed row", Data(good + "{\"question\": \n"), 2, {"rows.jsonl:2"}},
           {"nested 100,000 deep", Data(good + good + deep + "\n"), 2, {"rows.jsonl:3", "deep"}},
           {"row that is no object", Data("[1]\n"), 2, {"rows.jsonl:1", "object"}},
           {"missing field", Data("{\"question\": \"x\"}\n"), 2, {"rows.jsonl:1", "answer"}},
           {"field of another type",
            Data("{\"question\": 3, \"answer\": \"2\"}\n"),
            2,
            {"rows.jsonl:1", "question"}},
           {"duplicate key",
            Data("{\"question\":\"a\",\"question\":\"b\",\"answer\":\"2\"}\n"),
            2,
            {"rows.jsonl:1", "question"}},
           {"invalid UTF-8",
            Data("{\"question\":\"\xff\",\"answer\":\"2\"}\n"),
            2,
            {"rows.jsonl:1", "UTF-8"}},
           {"no gold", Data(good, "data.gold_after=####"), 2, {"rows.jsonl:1", "data.gold_after"}},
           {"prompt longer than the context",
            Data("{\"question\":\"" + std::string(80, 'x') + "\",\"answer\":\"2\"}\n"),
            2,
            {"rows.jsonl:1", "max_positions", "data.on_bad=SKIP"}},
           {"text the tokenizer lacks",
            Data(good, "data.tokenizer=words"),
            2,
            {"rows.jsonl:1", "token"}},
           {"no row at all", Data("\n"), 2, {"rows.jsonl", "no usable row"}},
       }) {
    RemoveTree(run_);
    Check(row);
  }
}

// Each row's correct answer is graded against itself before anything is sampled.
TEST_F(BadInput, GoldsThatNobodyCanRead) {
  const std::string bad = "{\"question\":\"q\",\"answer\":\"\\\\frac{\"}\n",
                    good = "{\"question\":\"q\",\"answer\":\"2\"}\n";
  for (const bool dry : {false, true}) {
    std::vector<std::string> all = Data(bad + bad), some = Data(good + bad);
    if (dry) all.push_back("--dry-run"), some.push_back("--dry-run");
    RemoveTree(run_);
    Check({"all", all, 2, {"data.train: 2 of 2 right answers", "rows.jsonl:1", "data.gold_after"}});
    RemoveTree(run_);
    Check({"some", some, 0, {"data.train: 1 of 2 right answers", "rows.jsonl:2"}});
  }
  RemoveTree(run_);
  std::vector<std::string> eval = Data(good);
  eval.insert(eval.end(), {"--set", "data.eval=" + Write(folder_, "eval.jsonl", bad)});
  Check({"data.eval", eval, 2, {"data.eval: 1 of 1 right answers", "eval.jsonl:1"}});
}

TEST_F(BadInput, Scores) {
  const auto score = [&](const std::string& text) {
    return std::vector<std::string>{"score", Write(folder_, "rows.jsonl", text), "--mode", "whole"};
  };
  for (const Row& row : std::vector<Row>{
           {"no id",
            score("{\"completion\":\"1\",\"answer\":\"1\"}\n"),
            2,
            {"rows.jsonl:1", "id"},
            "grouper-reward"},
           {"no answer",
            score("{\"id\":1,\"completion\":\"1\"}\n"),
            2,
            {"rows.jsonl:1", "answer"},
            "grouper-reward"},
           {"unknown field",
            score("{\"id\":1,\"completion\":\"1\",\"answer\":\"1\",\"makrer\":2}\n"),
            2,
            {"rows.jsonl:1", "makrer"},
            "grouper-reward"},
           {"unknown mode", {"score", "--mode", "guess"}, 2, {"guess", "boxed"}, "grouper-reward"},
           {"missing file",
            {"score", folder_ + "/none.jsonl"},
            2,
            {"none.jsonl"},
            "grouper-reward"},
           {"beyond loopback",
            {"serve", "--listen", "0.0.0.0:0"},
            2,
            {"loopback", "--insecure-i-know"},
            "grouper-reward"},
           {"no service", {"health", "127.0.0.1:1"}, 75, {"127.0.0.1:1"}, "grouper-reward"},
           {"no run", {"ls", folder_ + "/none"}, 2, {"none"}, "grouper-trace"},
       }) {
    Check(row);
  }
}

// The test itself holds the port.
TEST_F(BadInput, PortInUse) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  ASSERT_EQ(0, listen(fd, 1));
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string place = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  const Ran ran = RunProgram("grouper-reward", {"serve", "--listen", place});
  EXPECT_EQ(ran.code, 75);
  EXPECT_NE(ran.err.find(place), std::string::npos) << ran.err;
  close(fd);
}

TEST_F(BadInput, RewardServiceDownLeavesTheRunResumable) {
  const Ran down = RunProgram("grouper", Train({"--set", "reward.addresses=127.0.0.1:1", "--set",
                                                "reward.max_wait_seconds=0.3"}));
  EXPECT_EQ(down.code, 75) << down.err;
  EXPECT_NE(down.err.find("127.0.0.1:1"), std::string::npos) << down.err;
  EXPECT_NE(down.err.find("grouper-reward serve"), std::string::npos) << down.err;
  EXPECT_FALSE(FileExists(run_ + "/result.json"));
}

TEST_F(BadInput, CorruptCheckpointIsNamedAndTheOlderOneUsed) {
  ASSERT_EQ(RunProgram("grouper", Train({})).code, 0);
  const std::string newest = run_ + "/checkpoints/step-00000002/model.safetensors";
  std::string bytes = ReadFile(newest, "model");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::ofstream(newest, std::ios::binary) << bytes;
  // When a person names it, this is an error.
  Check({"corrupt checkpoint",
         {"eval", "--config", config_, "--set", "data.eval=tasks:calc,fit", "--checkpoint",
          run_ + "/checkpoints/step-00000002"},
         2,
         {"model.safetensors", "SHA-256", "older"}});
  // When a resume finds it, it is reported and the older one is used.
  const std::string before = ReadFile(run_ + "/result.json", "result");
  const Ran again = RunProgram("grouper", Train({}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.err.find("not valid"), std::string::npos) << again.err;
  EXPECT_EQ(ReadFile(run_ + "/result.json", "result"), before);
}

TEST_F(BadInput, AnotherConfigInTheSameFolder) {
  ASSERT_EQ(RunProgram("grouper", Train({})).code, 0);
  Check({"other config", Set("optimizer.lr=0.5"), 2, {"another config", "--run"}});
}

TEST_F(BadInput, SecondLearnerOnOneFolderIsRefused) {
  MakeFolders(run_);
  const FolderLock lock(run_);
  Check({"second learner", Train({}), 2, {run_, std::to_string(getpid())}});
}

}  // namespace
}  // namespace grouper
