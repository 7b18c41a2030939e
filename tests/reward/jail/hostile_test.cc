// Submissions that try to pass, to stay, to take or to break, and the verdict each must get.
// Nothing may be left running and the grader must go on with the next one.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>
#include <tuple>

#include "reward/code/code_grader.h"
#include "tests/reward/jail/standing_jail.h"

namespace grouper {
namespace {

using Result = reward::v1::ScoreResult;

struct Submission {
  const char* name;
  const char* program;
  Result::Verdict verdict;
};

void PrintTo(const Submission& submission, std::ostream* out) { *out << submission.name; }

// Two cases: f(1) is 2, f(5) is 6.
const Submission kSubmissions[] = {
    {"right", "def f(x): return x + 1", Result::AC},
    {"right_by_float", "def f(x): return x + 1.0", Result::AC},
    {"wrong", "def f(x): return x", Result::WA},
    {"right_once", "def f(x): return 2", Result::WA},
    {"syntax_error", "def f(x) return x", Result::CE},
    {"raises", "def f(x): raise ValueError('6')", Result::RE},
    {"raises_on_load", "raise KeyError('f')\ndef f(x): return x + 1", Result::RE},
    {"no_function", "def g(x): return x + 1", Result::RE},
    {"not_a_function", "f = 2", Result::RE},
    // time
    {"busy_loop", "def f(x):\n    while True: pass", Result::TLE},
    {"ignores_signals",
     "import signal\n"
     "for s in range(1, 65):\n"
     "    try: signal.signal(s, signal.SIG_IGN)\n"
     "    except (OSError, ValueError): pass\n"
     "def f(x):\n    while True: pass",
     Result::TLE},
    {"sleeps", "import time\ndef f(x): time.sleep(60)", Result::TLE},
    {"closes_channel_and_sleeps", "import os, time\ndef f(x):\n    os.close(3)\n    time.sleep(60)",
     Result::TLE},
    {"reads_the_calls", "import os\ndef f(x):\n    os.read(0, 100)\n    return x + 1", Result::TLE},
    {"closes_the_calls", "import os\ndef f(x):\n    os.close(0)\n    return x + 1", Result::WA},
    {"busy_thread_beside_the_answer",
     "import threading\n"
     "def burn():\n    while True: pass\n"
     "threading.Thread(target=burn, daemon=True).start()\n"
     "def f(x): return x + 1",
     Result::AC},
    // processes
    {"fork_bomb", "import os\ndef f(x):\n    while True: os.fork()", Result::RE},
    {"spawns_a_shell",
     "import subprocess\ndef f(x): return int(subprocess.check_output(['/bin/echo', str(x + 1)]))",
     Result::RE},
    {"becomes_a_shell", "import os\ndef f(x): os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
     Result::WA},
    {"thread_bomb",
     "import threading, time\n"
     "def f(x):\n    while True: threading.Thread(target=time.sleep, args=(9,)).start()",
     Result::RE},
    {"thread_bomb_of_small_stacks",
     "import threading, time\n"
     "threading.stack_size(32768)\n"
     "def f(x):\n    while True: threading.Thread(target=time.sleep, args=(9,)).start()",
     Result::RE},
    {"kills_itself", "import os\ndef f(x): os.kill(os.getpid(), 9)", Result::RE},
    {"kills_all_it_sees",
     "import os\n"
     "def f(x):\n"
     "    for pid in (1, -1, os.getppid()):\n"
     "        try: os.kill(pid, 9)\n"
     "        except OSError: pass\n"
     "    return x + 1",
     Result::AC},
    {"dies_between_cases",
     "import os, threading, time\n"
     "def f(x):\n"
     "    threading.Timer(0.001, os._exit, (0,)).start()\n"
     "    if x == 5: time.sleep(0.1)\n"
     "    return x + 1",
     Result::WA},
    // memory and depth
    {"grows_a_list", "def f(x):\n    a = []\n    while True: a.append('x' * 100000)", Result::MLE},
    {"grows_a_global", "a = []\ndef f(x):\n    while True: a.append([len(a)] * 10000)",
     Result::MLE},
    {"one_large_block", "def f(x): return len(bytearray(1 << 40))", Result::MLE},
    {"maps_shared_memory",
     "import mmap\ndef f(x): return len(mmap.mmap(-1, 1 << 30).read(9)) and x + 1", Result::RE},
    {"memory_file", "import os\ndef f(x): return os.memfd_create('a') and x + 1", Result::RE},
    {"unpacks_a_bomb",
     "import zlib\n"
     "def f(x):\n"
     "    b = zlib.compress(bytes(1 << 26), 1)\n"
     "    return len(zlib.decompress(b) + zlib.decompress(b) + zlib.decompress(b) * 4)",
     Result::MLE},
    {"recursion", "def f(x): return f(x)", Result::RE},
    {"deep_source", "def f(x): return eval('(' * 100000)", Result::RE},
    // faking success
    {"sys_exit", "import sys\ndef f(x): sys.exit(0)", Result::WA},
    {"os_exit", "import os\ndef f(x): os._exit(0)", Result::WA},
    {"exits_on_load", "import os\nos._exit(0)\ndef f(x): return x + 1", Result::WA},
    {"exits_after_one_case", "import os\ndef f(x):\n    if x > 1: os._exit(0)\n    return x + 1",
     Result::WA},
    {"equal_to_everything",
     "class A:\n"
     "    def __eq__(self, other): return True\n"
     "    def __repr__(self): return '6'\n"
     "    __str__ = __repr__\n"
     "    def __int__(self): return 6\n"
     "    __index__ = __int__\n"
     "def f(x): return A()",
     Result::WA},
    {"subclass_of_int",
     "class A(int):\n    def __eq__(self, other): return True\ndef f(x): return A(x + 1)",
     Result::WA},
    {"truth_for_a_number", "def f(x): return True if x == 1 else x + 1", Result::WA},
    {"text_for_a_number", "def f(x): return str(x + 1)", Result::WA},
    {"not_a_number", "def f(x): return float('nan')", Result::WA},
    {"infinite", "def f(x): return float('inf')", Result::WA},
    {"a_list_in_itself", "def f(x):\n    a = []\n    a.append(a)\n    return a", Result::WA},
    {"digits_without_end", "def f(x): return 10 ** 100000", Result::RE},
    {"patches_builtins",
     "import builtins, json\n"
     "builtins.type = lambda v: int\n"
     "builtins.repr = builtins.str = lambda v: '6'\n"
     "json.dumps = lambda v: '6'\n"
     "def f(x): return [x]",
     Result::WA},
    // the result channel
    {"unsigned_result", "import os\ndef f(x):\n    os.write(3, b'value 2\\n')\n    return x + 1",
     Result::SV},
    {"floods_the_channel", "import os\ndef f(x):\n    while True: os.write(3, b'a' * 65536)",
     Result::OLE},
    {"signed_results_in_advance",
     "import os, sys\n"
     "frame = sys._getframe()\n"
     "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
     "nonce = frame.f_locals['nonce']\n"
     "os.write(3, (nonce + ' loaded\\n' + nonce + ' value 2\\n' + nonce + ' value "
     "6\\n').encode())\n"
     "def f(x): return 0",
     Result::SV},
    {"signed_result_twice",
     "import os, sys\n"
     "def f(x):\n"
     "    nonce = sys._getframe(1).f_locals['nonce']\n"
     "    os.write(3, (nonce + ' value 2\\n' + nonce + ' value 6\\n').encode())\n"
     "    os.read(0, 1)",
     Result::SV},
    {"endless_result", "def f(x): return 'a' * 10 ** 6", Result::OLE},
    {"endless_stdout",
     "import os, sys\n"
     "def f(x):\n"
     "    for _ in range(1000): os.write(1, b'6' * 65536); os.write(2, b'6' * 65536)\n"
     "    return x + 1",
     Result::AC},
    // the host
    {"opens_a_socket", "import socket\ndef f(x): return socket.socket() and x + 1", Result::RE},
    {"opens_a_unix_socket",
     "import socket\ndef f(x): return socket.socket(socket.AF_UNIX) and x + 1", Result::RE},
    {"reads_the_host", "def f(x): return open('/etc/passwd') and x + 1", Result::RE},
    {"reads_its_parent", "def f(x): return open('/proc/1/environ') and x + 1", Result::RE},
    {"writes_to_tmp", "def f(x): return open('/tmp/a', 'w') and x + 1", Result::RE},
    {"writes_to_dev", "def f(x): return open('/dev/a', 'w') and x + 1", Result::RE},
    {"writes_to_shm", "def f(x): return open('/dev/shm/a', 'w') and x + 1", Result::RE},
    {"writes_over_python", "def f(x): return open('/usr/bin/python3', 'ab') and x + 1", Result::RE},
    {"makes_a_link", "import os\ndef f(x): return os.symlink('/', '/dev/a') or x + 1", Result::RE},
    {"raises_its_limits",
     "import resource\n"
     "def f(x): return resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)) or x + 1",
     Result::RE},
    {"calls_the_kernel",
     "import ctypes\n"
     "c = ctypes.CDLL(None)\n"
     "def f(x):\n"
     "    # ptrace, mount, unshare, keyctl, bpf, io_uring_setup, userfaultfd, an unknown number\n"
     "    for n in (101, 165, 272, 250, 321, 425, 323, 460):\n"
     "        if c.syscall(n, 0, 0, 0, 0, 0) >= 0: return x + 1\n"
     "    raise OSError",
     Result::RE},
    {"takes_all_descriptors", "import os\ndef f(x):\n    while True: os.open('/dev/null', 0)",
     Result::RE},
};

reward::v1::ScoreItem Item(const std::string& program) {
  reward::v1::ScoreItem item;
  item.set_completion(program);
  reward::v1::CodeProblem* problem = item.mutable_code()->mutable_problem();
  problem->set_entry("f");
  for (const auto& [arguments, expected] : {std::pair{"[1]", "2"}, std::pair{"[5]", "6"}}) {
    reward::v1::CodeCase* test = problem->add_cases();
    test->set_arguments_json(arguments);
    test->set_expected_json(expected);
  }
  return item;
}

Rubric QuickRubric() {
  Rubric rubric;
  rubric.set_extraction(Rubric::WHOLE);
  rubric.mutable_code()->set_cpu_seconds(1);
  rubric.mutable_code()->set_wall_seconds(1.5);
  rubric.mutable_code()->set_memory_bytes(256 << 20);
  rubric.mutable_code()->set_output_bytes(200000);
  return rubric;
}

// Orphans of a jail come to this process, so that none is overlooked.
bool NothingIsLeft() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    if (waitpid(-1, nullptr, WNOHANG) < 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

using Tier = reward::v1::IsolationTier;

class Hostile : public testing::TestWithParam<std::tuple<Tier, Submission>> {};

TEST_P(Hostile, GetsItsVerdict) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const auto& [tier, submission] = GetParam();
  const Jail& jail = JailOf(tier);
  SKIP_UNLESS_STANDING(jail);
  const CodeGrader grader(&jail);
  const Judgement j = grader.Grade(Item(submission.program), QuickRubric(), {});
  EXPECT_EQ(j.status, Result::SCORED) << j.reason;
  EXPECT_EQ(Result::Verdict_Name(j.verdict), Result::Verdict_Name(submission.verdict))
      << j.reason << (j.tests.empty() ? "" : " " + j.tests.back().detail());
  EXPECT_EQ(j.right(), submission.verdict == Result::AC);
  EXPECT_TRUE(NothingIsLeft());
  // The next one is not disturbed.
  EXPECT_EQ(grader.Grade(Item("def f(x): return 1 + x"), QuickRubric(), {}).verdict, Result::AC);
}

INSTANTIATE_TEST_SUITE_P(Submissions, Hostile,
                         testing::Combine(testing::ValuesIn(kTiers),
                                          testing::ValuesIn(kSubmissions)),
                         [](const auto& each) {
                           return std::string(TierWord(std::get<0>(each.param))) + "_" +
                                  std::get<1>(each.param).name;
                         });

class HostileBytes : public testing::TestWithParam<Tier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, HostileBytes, testing::ValuesIn(kTiers),
                         [](const auto& each) { return std::string(TierWord(each.param)); });

TEST_P(HostileBytes, SourceThatIsNoTextIsACompileError) {
  const Jail& jail = JailOf(GetParam());
  SKIP_UNLESS_STANDING(jail);
  const CodeGrader grader(&jail);
  const std::string good = "def f(x): return x + 1\n";
  for (const std::string& bad : {std::string("a = '\xff\xfe'\n"), std::string("#\0\n", 3)}) {
    EXPECT_EQ(grader.Grade(Item(bad + good), QuickRubric(), {}).verdict, Result::CE);
  }
}

TEST_P(HostileBytes, ExpectedValuesAreNowhereInside) {
  // Every string that the process can reach, and every frame.
  const std::string program =
      "import gc, sys\n"
      "def f(x):\n"
      "    seen = repr([o for o in gc.get_objects() if type(o) in (dict, list, tuple, str)])\n"
      "    frame = sys._getframe()\n"
      "    while frame:\n"
      "        seen += repr(frame.f_locals) + repr(frame.f_globals)\n"
      "        frame = frame.f_back\n"
      "    return 'emases nepo'[::-1] if 'emases nepo'[::-1] in seen else 'nothing'\n";
  reward::v1::ScoreItem item = Item(program);
  item.mutable_code()->mutable_problem()->mutable_cases(0)->set_expected_json("\"nothing\"");
  item.mutable_code()->mutable_problem()->mutable_cases(1)->set_expected_json("\"open sesame\"");
  const Jail& jail = JailOf(GetParam());
  SKIP_UNLESS_STANDING(jail);
  const CodeGrader grader(&jail);
  const Judgement j = grader.Grade(item, QuickRubric(), {});
  EXPECT_EQ(j.verdict, Result::WA);
  EXPECT_EQ(j.tests.size(), 2u) << "the first case was answered with 'nothing'";
}

}  // namespace
}  // namespace grouper
