#include "rl/reward_stage.h"

#include <chrono>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

namespace grouper {

RewardStage::RewardStage(const RewardConfig& config, const std::string& run_id)
    : config_(config), run_id_(run_id) {
  std::vector<std::string> addresses(config.addresses().begin(), config.addresses().end());
  if (addresses.empty()) {
    const std::string program = JoinPath(ProgramFolder(), "grouper-reward");
    USER_CHECK(FileExists(program),
               "[reward] the reward service is not beside this program; install it there or set "
               "reward.addresses",
               program);
    ProcessOptions options;
    options.argv = {program,
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--report-port",
                    "--threads",
                    std::to_string(config.service_threads())};
    options.report_and_lifeline_pipes = true;
    service_ = std::make_unique<Process>(options);
    address_ = service_->ReadReportLine(std::chrono::seconds(20));
    addresses.push_back(address_);
  }
  RewardClientOptions client;
  client.deadline_seconds = config.deadline_seconds();
  client.max_wait_seconds = config.max_wait_seconds();
  client_ = std::make_unique<RewardClient>(addresses, client);
}

RewardStage::~RewardStage() = default;

void RewardStage::Score(std::vector<Group>* groups) {
  std::set<std::string> known;
  for (const Rubric& rubric : config_.rubric()) known.insert(rubric.name());
  std::vector<reward::v1::ScoreItem> items;
  for (const Group& group : *groups) {
    const Prompt& prompt = group.prompt();
    USER_CHECK(known.count(prompt.rubric()) == 1,
               "[reward] a prompt names a rubric that reward.rubric does not define (task, rubric)",
               prompt.task_id(), prompt.rubric());
    for (const Completion& completion : group.completions()) {
      reward::v1::ScoreItem item;
      item.set_item_id(std::to_string(completion.rollout_id()));
      item.set_group_id(std::to_string(prompt.ordinal()));
      item.set_sample_index(completion.index());
      item.set_run_id(run_id_);
      item.set_completion(completion.text());
      item.set_completion_tokens(static_cast<uint32_t>(completion.ids_size()));
      item.set_truncated(completion.finish_reason() == Completion::LENGTH);
      if (prompt.has_math()) *item.mutable_math() = prompt.math();
      if (prompt.has_code()) *item.mutable_code() = prompt.code();
      item.set_rubric(prompt.rubric());
      item.set_prefill(prompt.prefill());
      items.push_back(std::move(item));
    }
  }
  const std::vector<Rubric> rubrics(config_.rubric().begin(), config_.rubric().end());
  std::vector<reward::v1::ScoreResult> results = client_->Score(rubrics, std::move(items));
  size_t next = 0;
  for (Group& group : *groups) {
    group.clear_scores();
    for (const Completion& completion : group.completions()) {
      reward::v1::ScoreResult& result = results[next++];
      CHECK(result.item_id() == std::to_string(completion.rollout_id()),
            "[reward] results came back in another order (expected, got)", completion.rollout_id(),
            result.item_id());
      *group.add_scores() = std::move(result);
    }
  }
}

}  // namespace grouper
