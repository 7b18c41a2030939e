#include "trace/store/stored_scores.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"
#include "trace/store/frame_bytes.h"

namespace grouper {
namespace {

using reward::v1::ScoreResult;

// Cuts between two characters.
void Cut(size_t most, std::string* text) {
  if (text->size() <= most) return;
  while (most > 0 && (static_cast<unsigned char>((*text)[most]) & 0xc0) == 0x80) --most;
  text->resize(most);
}

void CutScore(size_t most, ScoreResult* score) {
  score->clear_tests();
  score->clear_flags();
  score->add_flags("cut");
  const size_t share = most / 8;
  Cut(share, score->mutable_reason());
  Cut(share, score->mutable_item_id());
  Cut(share, score->mutable_grader_version());
  Cut(share, score->mutable_rubric_hash());
  if (score->has_extraction()) {
    Cut(share, score->mutable_extraction()->mutable_answer());
    Cut(share, score->mutable_extraction()->mutable_rung());
  }
  if (score->ByteSizeLong() > most) score->clear_components();
}

}  // namespace

void MakeScoresStorable(google::protobuf::RepeatedPtrField<ScoreResult>* scores) {
  const auto repair = [](std::string* text) { *text = EscapeIllFormed(*text); };
  const size_t share = kMostScoreBytes / static_cast<size_t>(std::max(1, scores->size()));
  for (ScoreResult& score : *scores) {
    repair(score.mutable_reason());
    if (score.has_extraction()) repair(score.mutable_extraction()->mutable_answer());
    for (reward::v1::TestVerdict& test : *score.mutable_tests()) repair(test.mutable_detail());
    for (std::string& flag : *score.mutable_flags()) repair(&flag);
    if (score.ByteSizeLong() > share) CutScore(share, &score);
  }
}

}  // namespace grouper
