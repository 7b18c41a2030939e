// bench_ops: the share of the machine's peak that every operator reaches, at the shapes of three
// policies. The peak is measured in the same run, and again between cases; the best value counts.
// Each case is called until --seconds have passed, and at least three times; its best call counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/machine_peak.h"
#include "bench/op_cases.h"
#include "kernels/cpu/parallel.h"

namespace grouper::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench_ops [--threads N] [--policy 0.4M|10M|100M] [--op TEXT] [--rows 1,16,...]\n"
    "                 [--seconds S] [--json]\n"
    "Measures every operator whose name contains TEXT. GROUPER_CPU=avx512|avx2|scalar chooses the "
    "instruction set.\n"
    "Example: bench_ops --threads 1 --policy 10M --op matmul --rows 1,64\n";

struct Options {
  int threads = 1;
  std::string policy, op;
  std::vector<int64_t> rows = {1, 4, 16, 64, 256, 1024};
  double seconds = 0.05;
  bool json = false;
};

double NumberOf(const char* flag, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  USER_CHECK(end != text && (*end == '\0' || *end == ',') && value > 0,
             std::string("[bench_ops] ") + flag + " needs a number above 0", Named("value", text));
  return value;
}

std::vector<int64_t> RowsOf(const char* text) {
  std::vector<int64_t> rows;
  for (const char* at = text; at != nullptr; at = std::strchr(at, ',')) {
    if (*at == ',') ++at;
    rows.push_back(static_cast<int64_t>(NumberOf("--rows", at)));
  }
  return rows;
}

Options Parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") {
      o.json = true;
      continue;
    }
    if (flag == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    USER_CHECK(i + 1 < argc, "[bench_ops] the flag is unknown or its value is missing; see --help",
               Named("flag", flag));
    const char* value = argv[++i];
    if (flag == "--threads") {
      o.threads = static_cast<int>(NumberOf("--threads", value));
    } else if (flag == "--seconds") {
      o.seconds = NumberOf("--seconds", value);
    } else if (flag == "--policy") {
      o.policy = value;
    } else if (flag == "--op") {
      o.op = value;
    } else if (flag == "--rows") {
      o.rows = RowsOf(value);
    } else {
      ThrowUser("[bench_ops] the flag is unknown; see --help", Named("flag", flag));
    }
  }
  return o;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double BestSeconds(const std::function<void(Stream&)>& run, Stream& stream, double seconds) {
  run(stream);  // pages, caches
  double best = 1e30;
  const double end = Now() + seconds;
  for (int i = 0; i < 3 || Now() < end; ++i) {
    // Several short calls are timed together, so that reading the clock costs nothing.
    int calls = 1;
    double begin = Now();
    run(stream);
    double spent = Now() - begin;
    if (spent < 20e-6) {
      calls = static_cast<int>(100e-6 / std::max(spent, 1e-7)) + 1;
      begin = Now();
      for (int c = 0; c < calls; ++c) run(stream);
      spent = (Now() - begin) / calls;
    }
    best = std::min(best, spent);
  }
  return best;
}

std::vector<OpCase> CasesOf(const Options& options) {
  std::vector<OpCase> all, chosen;
  for (const PolicyShape& policy : PolicyShapes()) {
    if (!options.policy.empty() && options.policy != policy.name) continue;
    for (int64_t rows : options.rows) {
      AddProducts(policy, rows, &all);
      AddAttention(policy, rows, &all);
      AddRowOps(policy, rows, &all);
      if (policy.experts > 0) AddRouting(policy, rows, &all);
      AddTables(policy, rows, &all);
    }
    AddOptimizer(policy, &all);
  }
  for (OpCase& c : all) {
    if (c.op.find(options.op) != std::string::npos) chosen.push_back(std::move(c));
  }
  USER_CHECK(
      !chosen.empty(),
      "[bench_ops] no operator of the policy has this text in its name; see --help for both flags",
      Named("policy", options.policy), Named("op", options.op));
  return chosen;
}

struct Row {
  OpCase c;
  double seconds;
};

void Print(const Options& options, const char* isa, double peak, double bandwidth,
           const std::vector<Row>& rows) {
  if (options.json) {
    std::printf("{\"isa\":\"%s\",\"threads\":%d,\"peak_gflops\":%.1f,\"read_gbs\":%.1f,\"cases\":[",
                isa, options.threads, peak, bandwidth);
  } else {
    std::printf("%s, %d thread(s): peak %.1f GFLOP/s fp32, read %.1f GB/s\n", isa, options.threads,
                peak, bandwidth);
    std::printf("%-5s %-32s %-12s %5s %11s %9s %7s %8s %7s\n", "model", "operator", "shape", "rows",
                "us", "GFLOP/s", "% peak", "GB/s", "% read");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const OpCase& c = rows[i].c;
    const double gflops = c.flops / rows[i].seconds * 1e-9, gbs = c.bytes / rows[i].seconds * 1e-9;
    if (options.json) {
      std::printf(
          "%s\n{\"policy\":\"%s\",\"op\":\"%s\",\"shape\":\"%s\",\"rows\":%ld,\"seconds\":%.9f,"
          "\"gflops\":%.3f,\"gbs\":%.3f}",
          i == 0 ? "" : ",", c.policy.c_str(), c.op.c_str(), c.shape.c_str(),
          static_cast<long>(c.rows), rows[i].seconds, gflops, gbs);
      continue;
    }
    std::printf("%-5s %-32s %-12s %5ld %11.2f", c.policy.c_str(), c.op.c_str(), c.shape.c_str(),
                static_cast<long>(c.rows), rows[i].seconds * 1e6);
    if (c.flops > 0) {
      std::printf(" %9.1f %6.1f%%", gflops, 100 * gflops / peak);
    } else {
      std::printf(" %9s %7s", "-", "-");
    }
    if (c.bytes > 0) {
      std::printf(" %8.1f %6.1f%%\n", gbs, 100 * gbs / bandwidth);
    } else {
      std::printf(" %8s %7s\n", "-", "-");
    }
  }
  if (options.json) std::printf("]}\n");
}

int Run(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  std::unique_ptr<cpu::ThreadPool> pool;
  if (options.threads > 1) pool = std::make_unique<cpu::ThreadPool>(options.threads);
  Stream stream{cpu::ChooseIsa(), pool.get()};
  const std::vector<OpCase> cases = CasesOf(options);
  double peak = MeasureFmaPeak(stream);
  const double bandwidth = MeasureReadBandwidth(stream);
  std::vector<Row> rows;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (i % 20 == 0) {
      peak = std::max(peak, MeasureFmaPeak(stream));
      std::fprintf(stderr, "%zu of %zu\r", i, cases.size());
    }
    const std::function<void(Stream&)> run = cases[i].make();
    rows.push_back({cases[i], BestSeconds(run, stream, options.seconds)});
  }
  Print(options, cpu::NameOf(stream.isa), peak, bandwidth, rows);
  return 0;
}

}  // namespace
}  // namespace grouper::bench

int main(int argc, char** argv) {
  try {
    return grouper::bench::Run(argc, argv);
  } catch (const grouper::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.kind() == grouper::ErrorKind::kUser ? 2 : 1;
  }
}
