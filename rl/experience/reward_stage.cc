#include "rl/experience/reward_stage.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/io/file.h"
#include "base/log.h"
#include "base/random.h"
#include "rl/experience/score_item.h"

namespace grouper {
namespace {

// So often in a row the own service may end before it is not started again.
constexpr int kMostEnds = 6;

// The flags of the own service by which it gives programs all that the run's rubrics ask for. What
// no rubric may ask for is left for the service to refuse.
std::vector<std::string> CapFlags(const RewardConfig& config) {
  double cpu = 1, wall = 1;
  int64_t memory = int64_t{1} << 20, output = 1;
  for (const Rubric& rubric : config.rubric()) {
    cpu = std::min(3600.0, std::max(cpu, rubric.code().cpu_seconds()));
    wall = std::min(3600.0, std::max(wall, rubric.code().wall_seconds()));
    memory = std::min(int64_t{1} << 40, std::max(memory, rubric.code().memory_bytes()));
    output = std::min(int64_t{1} << 30, std::max(output, rubric.code().output_bytes()));
  }
  return {"--max-cpu-seconds",  std::to_string(cpu),   "--max-wall-seconds",
          std::to_string(wall), "--max-memory-bytes",  std::to_string(memory),
          "--max-output-bytes", std::to_string(output)};
}

}  // namespace

RewardStage::RewardStage(const RewardConfig& config, const std::string& run_id)
    : config_(config), run_id_(run_id) {
  std::vector<std::string> addresses(config.addresses().begin(), config.addresses().end());
  RewardClientOptions client;
  client.deadline_seconds = config.deadline_seconds();
  client.max_wait_seconds = config.max_wait_seconds();
  if (addresses.empty()) {
    StartService("127.0.0.1:0");
    addresses.push_back(address_);
    client.on_failure = [this] { Revive(); };
  }
  client_ = std::make_unique<RewardClient>(addresses, client);
}

RewardStage::~RewardStage() = default;

std::vector<std::string> RewardStage::addresses() const {
  if (service_ != nullptr) return {address_};
  return {config_.addresses().begin(), config_.addresses().end()};
}

void RewardStage::StartService(const std::string& listen) {
  const std::string program = JoinPath(ProgramFolder(), "grouper-reward");
  USER_CHECK(
      FileExists(program),
      "[reward] the program of the reward service is missing; install it in the folder of this "
      "program, or set reward.addresses",
      Named("program", program));
  const std::string workers = std::to_string(config_.service_threads());
  ProcessOptions options;
  options.argv = {program,     "serve", "--listen",       listen, "--report-port",
                  "--threads", workers, "--code-workers", workers};
  for (const std::string& flag : CapFlags(config_)) options.argv.push_back(flag);
  if (config_.min_isolation() == RewardConfig::NAMESPACES) {
    options.argv.insert(options.argv.end(), {"--min-isolation", "namespaces"});
  }
  options.report_and_lifeline_pipes = true;
  service_ = std::make_unique<Process>(options);
  address_ = service_->ReadReportLine(std::chrono::seconds(20));
  served_ = true;
}

// Threads of the client call this when a call has failed.
void RewardStage::Revive() {
  std::lock_guard lock(mutex_);
  const std::optional<int> code = service_->Wait(std::chrono::milliseconds(0));
  if (!code.has_value()) return;
  if (served_) ++ends_;
  served_ = false;
  CHECK(ends_ < kMostEnds,
        "[reward] the reward service of this run ends again and again before it has judged a "
        "batch; run `grouper doctor`, and report the answer that makes it end",
        Named("ends", ends_), Named("exit_code", *code));
  LogWarn("[reward] the reward service of this run ended and is started again: exit_code=" +
          std::to_string(*code) + " address=" + address_);
  try {
    StartService(address_);
  } catch (const Error& error) {
    // The next failure tries again, until the client has waited long enough.
    if (error.kind() != ErrorKind::kUnavailable) throw;
    LogWarn(error.message());
  }
}

int64_t RewardStage::Score(std::vector<Group>* groups, const KeptVerdicts* kept,
                           std::stop_token stop) {
  std::map<std::string, const Rubric*> known;
  for (const Rubric& rubric : config_.rubric()) known[rubric.name()] = &rubric;
  std::vector<reward::v1::ScoreItem> items;
  std::vector<Group*> asked;
  int64_t reused = 0;
  for (Group& group : *groups) {
    const Prompt& prompt = group.prompt();
    const auto rubric = known.find(prompt.rubric());
    USER_CHECK(rubric != known.end(),
               "[reward] a prompt names a rubric that reward.rubric does not define",
               Named("task", prompt.task_id()), Named("rubric", prompt.rubric()));
    if (kept != nullptr && kept->Fill(*rubric->second, &group)) {
      reused += group.completions_size();
      continue;
    }
    asked.push_back(&group);
    for (const Completion& completion : group.completions()) {
      items.push_back(ScoreItemOf(prompt, completion, run_id_));
    }
  }
  const std::vector<Rubric> rubrics(config_.rubric().begin(), config_.rubric().end());
  std::vector<reward::v1::ScoreResult> results = client_->Score(rubrics, std::move(items), stop);
  ends_ = 0;
  size_t next = 0;
  for (Group* group : asked) {
    group->clear_scores();
    for (const Completion& completion : group->completions()) {
      reward::v1::ScoreResult& result = results[next++];
      CHECK(result.item_id() == std::to_string(completion.rollout_id()),
            "[reward] the results came back in another order",
            Named("expected", completion.rollout_id()), Named("item", result.item_id()));
      *group->add_scores() = std::move(result);
    }
  }
  return reused;
}

}  // namespace grouper
