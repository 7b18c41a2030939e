// Profiles: the settings of a published recipe under one name (docs/training_step.md, "Profiles").
// They only fill fields that the user left unset, and they become part of the resolved config. So
// the run folder shows their values, and a later program with other profiles resumes the same run.
#pragma once

#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace grouper {

// The names of all profiles, in alphabetical order.
std::vector<std::string> ProfileNames();

// Fills the fields that config leaves unset with the values of config.profile; does nothing without
// a profile. kUser for an unknown name.
void ApplyProfile(Config* config);

// The settings of `config` that differ from those of its profile: what a person wrote.
Config WithoutProfile(const Config& config);

}  // namespace grouper
