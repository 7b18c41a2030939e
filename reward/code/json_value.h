// JSON values on both sides of the jail: whether a result equals the expected value, arguments as
// text, and how much a right result takes. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "base/io/json.h"

namespace grouper {

// Compares numbers by exact value, as Python does (1 equals 1.0, 2^53 + 1 does not equal 2.0^53),
// lists in order and objects by key. No number equals a truth value.
bool SameValue(const Json& a, const Json& b);

// Appends the value as JSON text on one line.
void AppendJson(const Json& json, std::string* out);

// The longest text, in bytes, that the jail's harness writes for a value that equals this one.
int64_t MostResultBytes(const Json& json);

}  // namespace grouper
