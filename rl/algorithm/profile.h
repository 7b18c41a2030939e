// Profiles: the settings of a published recipe (grpo.md 8) under one name. They stand beneath what
// the user wrote, so a field that is set wins, and they become part of the resolved config: the run
// folder shows every value, and a later program with other profiles resumes to the same run.
#pragma once

#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace grouper {

// Of all profiles, in alphabetical order.
std::vector<std::string> ProfileNames();

// Fills fields that config leaves unset with the values of config.profile; nothing without one.
// kUser for an unknown name.
void ApplyProfile(Config* config);

}  // namespace grouper
