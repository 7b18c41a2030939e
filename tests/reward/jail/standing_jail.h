// A jail of one given tier, for tests that hold in both. A machine that lacks the tier skips them.
#pragma once

#include <gtest/gtest.h>

#include "reward/jail/jail.h"

namespace grouper {

inline JailOptions Only(reward::v1::IsolationTier tier) {
  return {.programs = {}, .tiers = {tier}};
}

// Built once for each tier, because each jail tests itself first.
inline const Jail& JailOf(reward::v1::IsolationTier tier) {
  static const Jail* const jails[] = {new Jail(Only(reward::v1::PROCESS)),
                                      new Jail(Only(reward::v1::NAMESPACES))};
  return *jails[tier == reward::v1::NAMESPACES];
}

// A tier that starts but lets the probe out is no lack of the machine, but a fault of the jail.
#define SKIP_UNLESS_STANDING(jail)                                              \
  ASSERT_EQ((jail).problem().find("the walls do not stand"), std::string::npos) \
      << (jail).problem();                                                      \
  if (!(jail).standing()) GTEST_SKIP() << "this machine lacks it: " << (jail).problem()

inline constexpr reward::v1::IsolationTier kTiers[] = {reward::v1::NAMESPACES, reward::v1::PROCESS};

}  // namespace grouper
