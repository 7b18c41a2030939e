// KILL_POINT("checkpoint.renamed"): a named place where a test can kill the process.
// GROUPER_KILL_POINT = "name:occurrence" (from 1) sends SIGKILL to ourselves there; without it the
// cost is one comparison.
#pragma once

namespace grouper {
void ReachKillPoint(const char* name);
}  // namespace grouper

#define KILL_POINT(name) ::grouper::ReachKillPoint(name)
