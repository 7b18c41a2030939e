// JSON values on both sides of the jail: whether a result equals the expected value, and arguments
// as Python literals. Pure functions.
#pragma once

#include <string>

#include "base/io/json.h"

namespace grouper {

// Compares numbers by exact value, as Python does (1 equals 1.0, 2^53 + 1 does not equal 2.0^53),
// lists in order and objects by key. No number equals a truth value.
bool SameValue(const Json& a, const Json& b);

// Appends the value as a Python literal: on one line, in ASCII, with no names but None, True and
// False.
void AppendPython(const Json& json, std::string* out);

}  // namespace grouper
