// The subcommands of grouper-trace. They take plain options and write text, and do not know the
// command line. The result goes to `out`; with `json` nothing but JSON goes there. What people
// should know besides, such as a torn tail or missing frames, goes to `notes`. All subcommands
// throw kUser for a run, step, group, rollout or prompt that is missing, and say what there is.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "trace/store/trace_reader.h"
#include "trace/view/render.h"

namespace grouper {

struct LsOptions {
  std::string run;
  std::optional<int64_t> step = {};
  bool json = false;
};
// Prints one line per group. With json each line is an object.
void RunLs(const LsOptions& options, std::ostream& out, std::ostream& notes);

// Selects a group by rollout id, by prompt ordinal, or by step (the last one when it is left out)
// and group (0 when it is left out).
struct ShowOptions {
  std::string run;
  std::optional<int64_t> step = {};
  std::optional<int64_t> group = {};
  std::optional<uint64_t> rollout_id = {};
  std::optional<uint64_t> prompt_ordinal = {};
  TokenColor color = TokenColor::kOff;
  bool tokens = false;  // with json, print the arrays of the tokens
  bool json = false;
};
void RunShow(const ShowOptions& options, std::ostream& out, std::ostream& notes);

// Reads the value of --color: log_prob, entropy, off, always, or several with commas, such as
// "entropy,always". Without `always` there is colour only on a terminal that wants it.
TokenColor ParseTokenColor(std::string_view text, bool terminal_wants_color);

struct StatsOptions {
  std::string run;
  bool json = false;
};
// Prints one line per step.
void RunStats(const StatsOptions& options, std::ostream& out, std::ostream& notes);

struct DigestOptions {
  std::string run;
  bool json = false;
};
// Prints the digest in hexadecimal.
void RunDigest(const DigestOptions& options, std::ostream& out, std::ostream& notes);

// Writes the notes of a finished pass: torn tails and missing completions.
void PrintNotes(const TraceReader& reader, std::ostream& notes);
// Reads the whole trace and throws kUser with a message such as "[trace] step 9 is not in the
// trace; it holds steps 0 to 4".
[[noreturn]] void ThrowNotInTrace(const std::string& what, TraceReader* reader);

}  // namespace grouper
