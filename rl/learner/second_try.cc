#include "rl/learner/second_try.h"

#include "base/log.h"

namespace grouper {

void TryAgainAndExplain(const std::string& run_folder, const Error& first,
                        const std::function<void()>& work) {
  LogError(first.message());
  LogError("[trainer] the update is repeated once, to tell whether software or hardware failed");
  std::string second = "no error";
  try {
    work();
  } catch (const Error& error) {
    second = error.message();
  }
  if (second == first.message()) {
    ThrowInternal(first.message() +
                      "; the update failed the same way twice; the trace holds its tokens, which "
                      "grouper-trace show prints",
                  Named("run", run_folder));
  }
  ThrowInternal(
      "[hardware] one update gave two results, so the memory or the processor of this machine "
      "cannot be trusted; nothing was saved, so resume the run on another machine",
      Named("first", first.message()), Named("second", second));
}

}  // namespace grouper
