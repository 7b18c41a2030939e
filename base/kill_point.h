// KILL_POINT("checkpoint.renamed"): a named place where a test can kill the process.
// GROUPER_KILL_POINT = "name:occurrence" (from 1) sends SIGKILL to ourselves there; with
// GROUPER_KILL_SIGNAL = NUMBER it sends that signal instead, and the process continues.
// GROUPER_KILL_LOG = FILE appends the name of each place that is reached, one per line, so that a
// driver knows where it can kill. Without them the cost is one comparison; a build with
// -DGROUPER_KILL_POINTS=OFF has no kill points at all.
#pragma once

#ifdef GROUPER_NO_KILL_POINTS
#define KILL_POINT(name) static_cast<void>(0)
#else
#define KILL_POINT(name) ::grouper::ReachKillPoint(name)
#endif

namespace grouper {
void ReachKillPoint(const char* name);
}  // namespace grouper
