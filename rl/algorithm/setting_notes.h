// Settings of `grouper train` that a person wrote and that change nothing, or that hardly mean what
// they say. Values that come from a profile do not count. Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace grouper {

// One sentence per setting, "[config] loss.clip_low has no effect: ...", which the commands print
// at the start. kUser for settings without effect that would surely mislead: those of a KL term
// that loss.kl does not turn on.
std::vector<std::string> SettingNotes(const Config& config);

}  // namespace grouper
