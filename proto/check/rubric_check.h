// Refuses scoring rules that cannot be used, and says why. The service checks what it is sent, and
// the trainer checks its config with the same function before it starts. Pure functions, any
// thread.
#pragma once

#include "proto/rubric.pb.h"

namespace grouper {

// kUser, naming rubric and field, for a rubric that cannot be used or would not do what it says.
void CheckRubric(const Rubric& rubric);

// Checks every rubric of a config, that there is one, and that each has a name of its own.
void CheckRubrics(const google::protobuf::RepeatedPtrField<Rubric>& rubrics);

}  // namespace grouper
