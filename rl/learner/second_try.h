// A failed update is the fault of the software or of the machine. Software fails in the same way
// when the same work is repeated; a processor or a memory that flips bits does not.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace grouper {

// Repeats the failed `work` once and then throws kInternal: with the words of the first failure if
// the second is the same, otherwise as "[hardware]", because one piece of work gave two results.
// The message names `run_folder`, where the tokens are recorded. Whatever the second try computes
// must not be kept.
[[noreturn]] void TryAgainAndExplain(const std::string& run_folder, const Error& first,
                                     const std::function<void()>& work);

// Returns what `work` returns. If it fails with kInternal, it is repeated once to explain the
// failure.
template <typename Work>
auto DoOrExplain(const std::string& run_folder, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInternal) throw;
    TryAgainAndExplain(run_folder, error, [&] { work(); });
  }
}

}  // namespace grouper
