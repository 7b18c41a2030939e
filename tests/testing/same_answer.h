// Whether an answer equals a gold under a rubric, and rubrics from text: for the tests of equality.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "proto/textproto.h"
#include "reward/math/ladder/equivalence.h"

namespace grouper {

inline Rubric RubricOf(const std::string& textproto) {
  Rubric rubric;
  MergeTextproto(textproto, "rubric", &rubric);
  return rubric;
}

inline bool SameAnswer(const std::string& answer, const std::string& gold,
                       const Rubric& rubric = {}) {
  const Gold g = ReadGold(gold, rubric);
  EXPECT_TRUE(g.kind == Gold::Kind::kNumber || g.kind == Gold::Kind::kWords) << "gold: " << gold;
  return Compare(answer, g, rubric).kind == Equivalence::Kind::kEqual;
}

}  // namespace grouper
