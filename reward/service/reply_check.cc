#include "reward/service/reply_check.h"

#include <cmath>
#include <map>

#include "base/error.h"

namespace grouper {

using reward::v1::ScoreBatchRequest;
using reward::v1::ScoreBatchResponse;
using reward::v1::ScoreResult;

namespace {

constexpr size_t kMostReasonBytes = 64 * 1024;
constexpr size_t kMostResultBytes = size_t{1} << 20;

const Rubric* FindRubric(const ScoreBatchRequest& request, const std::string& name) {
  for (const Rubric& rubric : request.rubrics()) {
    if (rubric.name() == name) return &rubric;
  }
  return nullptr;
}

// The reason why one result cannot be right; empty if it can.
std::string FindLieOf(const ScoreResult& r, const reward::v1::ScoreItem& item,
                      const Rubric* rubric) {
  if (!ScoreResult::Status_IsValid(r.status()) || r.status() == ScoreResult::STATUS_UNSPECIFIED)
    return "unknown status";
  if (!ScoreResult::Verdict_IsValid(r.verdict())) return "unknown verdict";
  const bool scored = r.status() == ScoreResult::SCORED;
  if (scored != r.has_reward())
    return scored ? "SCORED without a reward" : "a reward without SCORED";
  if (scored && (!std::isfinite(r.reward()) || std::fabs(r.reward()) > 1e6))
    return "reward out of range";
  if (scored && rubric != nullptr &&
      ((rubric->clamp().has_low() && r.reward() < rubric->clamp().low()) ||
       (rubric->clamp().has_high() && r.reward() > rubric->clamp().high())))
    return "reward beyond the rubric's clamp";
  if (!scored && r.components_size() > 0) return "components without SCORED";
  for (const auto& [name, value] : r.components()) {
    if (!std::isfinite(value) || name.size() > 64) return "component out of range";
  }
  if (r.reason().size() > kMostReasonBytes || r.extraction().answer().size() > kMostReasonBytes ||
      r.tests_size() > 65536 || r.flags_size() > 1024 || r.ByteSizeLong() > kMostResultBytes) {
    return "oversized";
  }
  if (r.extraction().begin() > r.extraction().end()) return "span runs backwards";
  if (r.extraction().end() > item.completion().size()) return "span beyond the completion";
  return "";
}

}  // namespace

std::string FindLie(const ScoreBatchRequest& request, const ScoreBatchResponse& response) {
  if (response.results_size() != request.items_size()) {
    return "count: " + std::to_string(response.results_size()) + " results for " +
           std::to_string(request.items_size()) + " items";
  }
  std::map<std::string, const reward::v1::ScoreItem*> wanted;
  for (const auto& item : request.items()) wanted[item.item_id()] = &item;
  for (const ScoreResult& r : response.results()) {
    const std::string at = "item \"" + Excerpt(r.item_id()) + "\": ";
    const auto item = wanted.find(r.item_id());
    if (item == wanted.end()) return at + "unknown or answered twice";
    const std::string lie =
        FindLieOf(r, *item->second, FindRubric(request, item->second->rubric()));
    if (!lie.empty()) return at + lie;
    wanted.erase(item);
  }
  return "";
}

}  // namespace grouper
