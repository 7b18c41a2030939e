// A failure of an update is either the software's or the machine's. Software fails the same way
// when the same work is done again; a processor or memory that flips bits does not.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace grouper {

// Does the failed `work` once more and throws kInternal: with the words of the first failure when
// the second is the same, else as "[hardware]", because then one piece of work gave two results.
// The message names `run_folder`, where the tokens are recorded. Whatever the second try does,
// nothing of it may be kept.
[[noreturn]] void TryAgainAndExplain(const std::string& run_folder, const Error& first,
                                     const std::function<void()>& work);

// What `work` returns. When it fails with kInternal, it is tried once more to explain the failure.
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
