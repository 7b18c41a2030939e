// Scores as a trace stores them. Their texts come from scorers, and partly from a model. A free
// function, any thread.
#pragma once

#include "proto/trace.pb.h"

namespace grouper {

// Makes the scores of one group fit for a frame:
//   1. Bytes that are not UTF-8 are escaped; with them a frame could be written but not parsed.
//   2. A score that takes more than its share of kMostScoreBytes (frame_bytes.h) loses its tests
//   and
//      flags, and its texts are cut. The flag "cut" says so.
void MakeScoresStorable(google::protobuf::RepeatedPtrField<reward::v1::ScoreResult>* scores);

}  // namespace grouper
