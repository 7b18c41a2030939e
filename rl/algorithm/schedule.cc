#include "rl/algorithm/schedule.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace grouper {
namespace {

// Falls from 1 at `begin` to final_share at `end`.
double Cosine(double final_share, int64_t update, int64_t begin, int64_t end) {
  const double done =
      static_cast<double>(update - begin) / static_cast<double>(std::max<int64_t>(end - begin, 1));
  return final_share + (1 - final_share) * 0.5 * (1 + std::cos(M_PI * std::min(done, 1.0)));
}

}  // namespace

double LearningRateAt(const OptimizerConfig& config, int64_t update, int64_t updates) {
  const int64_t warmup = std::max<int64_t>(config.warmup_updates(), 0);
  double rate = config.lr();
  if (warmup > 0) {
    rate *= std::min(1.0, static_cast<double>(update + 1) / static_cast<double>(warmup));
  }
  switch (config.schedule()) {
    case OptimizerConfig::CONSTANT:
      break;
    case OptimizerConfig::COSINE:
      if (update >= warmup) rate *= Cosine(config.final_share(), update, warmup, updates);
      break;
    case OptimizerConfig::COSINE_FROM_START:
      rate *= Cosine(config.final_share(), update, 0, updates);
      break;
  }
  return static_cast<double>(static_cast<float>(rate));
}

std::string MovedScheduleText(const OptimizerConfig& config, int64_t update, int64_t old_updates,
                              int64_t new_updates) {
  const double before = LearningRateAt(config, update, old_updates),
               after = LearningRateAt(config, update, new_updates);
  if (update >= new_updates || before == after) return "";
  std::ostringstream text;
  text << "optimizer.schedule " << OptimizerConfig::Schedule_Name(config.schedule())
       << " ends with the run, and the run's end was moved from update " << old_updates << " to "
       << new_updates << ": the learning rate of the next update, " << update << ", is " << after
       << " instead of " << before
       << ". To keep the old schedule, set the old number of steps; a run whose length is still "
          "open "
          "is best made with schedule CONSTANT";
  return text.str();
}

}  // namespace grouper
