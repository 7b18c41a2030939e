// The subcommands of grouper-trace, free of the command line: plain options in, text out. `out`
// gets the result (JSON only with `json`), `notes` what people should know beside it (a torn tail,
// missing frames). All throw kUser for a missing run, step, group, rollout or prompt, naming what
// there is.
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
// One line a group; with json one object a line.
void RunLs(const LsOptions& options, std::ostream& out, std::ostream& notes);

// Selects by rollout id, by prompt ordinal, or by step (default: the last) and group (default: 0).
struct ShowOptions {
  std::string run;
  std::optional<int64_t> step = {};
  std::optional<int64_t> group = {};
  std::optional<uint64_t> rollout_id = {};
  std::optional<uint64_t> prompt_ordinal = {};
  TokenColor color = TokenColor::kOff;
  bool tokens = false;  // with json: the per-token arrays
  bool json = false;
};
void RunShow(const ShowOptions& options, std::ostream& out, std::ostream& notes);

// What --color asks for: log_prob, entropy, off, always, or a comma list such as "entropy,always".
// Without `always` there is colour only on a terminal that wants it.
TokenColor ParseTokenColor(std::string_view text, bool terminal_wants_color);

struct StatsOptions {
  std::string run;
  bool json = false;
};
// One line a step.
void RunStats(const StatsOptions& options, std::ostream& out, std::ostream& notes);

struct DigestOptions {
  std::string run;
  bool json = false;
};
// The digest in hexadecimal.
void RunDigest(const DigestOptions& options, std::ostream& out, std::ostream& notes);

// Notes of a finished pass: torn tails, missing completions.
void PrintNotes(const TraceReader& reader, std::ostream& notes);
// "[trace] step 9 is not in the trace; it holds steps 0 to 4" and the like, thrown as kUser.
[[noreturn]] void ThrowNotInTrace(const std::string& what, const TraceReader& reader);

}  // namespace grouper
