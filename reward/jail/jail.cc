#include "reward/jail/jail.h"

#include "base/error.h"
#include "base/io/file.h"
#include "reward/jail/probe.h"
#include "reward/jail/seccomp_filter.h"
#include "reward/jail/session.h"
#include "reward/jail/walled_start.h"

namespace grouper {
namespace {

using End = JailResult::End;
using reward::v1::IsolationTier;

constexpr const char* kNoNamespaces =
    "are user namespaces switched off? On a machine of your own set the sysctls "
    "user.max_user_namespaces=10000, kernel.unprivileged_userns_clone=1 and "
    "kernel.apparmor_restrict_unprivileged_userns=0, as far as they exist; start a container with "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined";
constexpr const char* kNoProcess =
    "does Python start, and may root in this container become another user (capabilities SETUID "
    "and SETGID)?";

// True where RLIMIT_NPROC would count the threads of the whole service, so that the session counts
// those of the box itself.
bool CountsThreads(const Walls& walls) { return !walls.namespaces && !WalledHasOwnUser(); }

}  // namespace

Jail::Jail(JailOptions options) : options_(std::move(options)) {
  std::string& python = options_.programs.python;
  for (const char* path : {"/usr/bin/python3", "/usr/local/bin/python3"}) {
    if (python.empty() && FileExists(path)) python = path;
  }
  if (python.empty()) python = "/usr/bin/python3";
  if (!FileExists(python)) {
    problem_ = python + " is missing; install the package python3";
    return;
  }
  for (const IsolationTier tier : options_.tiers) {
    std::string why;
    try {
      why = Try(tier);
    } catch (const Error& error) {
      why = error.message();
    }
    if (why.empty()) {
      tier_ = tier;
      return;
    }
    if (!problem_.empty()) problem_ += "; ";
    problem_ += std::string("tier ") + TierWord(tier) + ": " + why;
  }
  if (problem_.empty()) problem_ = "no tier of isolation is allowed";
  walls_.reset();
}

JailOptions Jail::AtLeast(const std::string& least) {
  JailOptions options;
  USER_CHECK(least == "process" || least == "namespaces",
             "[jail] the least isolation must be process or namespaces", Named("given", least));
  if (least == "namespaces") options.tiers = {reward::v1::NAMESPACES};
  return options;
}

const char* TierWord(IsolationTier tier) {
  return tier == reward::v1::NAMESPACES ? "namespaces"
         : tier == reward::v1::PROCESS  ? "process"
                                        : "none";
}

// Empty: the tier holds.
std::string Jail::Try(IsolationTier tier) {
  const bool namespaces = tier == reward::v1::NAMESPACES;
  walls_.reset(new Walls{namespaces, CompileSeccompFilter(namespaces),
                         LandlockRules(options_.most_landlock_abi)});
  if (!namespaces && !walls_->landlock.problem().empty()) return walls_->landlock.problem();
  if (namespaces) {
    for (const std::string& program : {options_.programs.bwrap, options_.programs.setpriv}) {
      if (!FileExists(program))
        return program + " is missing; install the packages bubblewrap and util-linux";
    }
  }
  return Probe();
}

std::string Jail::isolation() const {
  switch (tier_) {
    case reward::v1::NAMESPACES:
      return "namespaces (bubblewrap), seccomp, rlimits; no cgroup";
    case reward::v1::PROCESS:
      return "one process: Landlock version " + std::to_string(walls_->landlock.abi()) +
             ", seccomp, rlimits; no namespaces, no cgroup" +
             (problem_.empty() ? "" : "; " + problem_);
    default:
      return problem_;
  }
}

std::string Jail::Probe() const {
  JailRequest request;
  request.program = kProbeProgram;
  request.entry = "probe";
  request.calls = {std::string("[") + (walls_->namespaces ? "true" : "false") + "," +
                   (CountsThreads(*walls_) ? "false" : "true") + "]"};
  request.limits.wall_seconds = 10;
  std::string found;
  const JailResult result = RunInBox(request, [&](size_t, const std::string& json) {
    found = json;
    return true;
  });
  if (result.end == End::kFinished && found == "[]") return "";
  if (result.end == End::kFinished && !found.empty()) return "the walls do not stand: " + found;
  return "the probe did not end (" + result.detail + "); " +
         (walls_->namespaces ? kNoNamespaces : kNoProcess);
}

JailResult Jail::Run(const JailRequest& request, const NextValue& next) const {
  if (standing()) return RunInBox(request, next);
  JailResult broken;
  broken.detail = problem_;
  return broken;
}

JailResult Jail::RunInBox(const JailRequest& request, const NextValue& next) const {
  const SigpipeGuard guard;
  Box box(options_.programs, *walls_);
  if (!box.start_problem().empty()) {
    JailResult broken;
    broken.detail = box.start_problem();
    return broken;
  }
  return TalkToHarness(request, CountsThreads(*walls_), &box, next);
}

}  // namespace grouper
