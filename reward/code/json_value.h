// JSON values on both sides of the jail: equality of a result with the expected value, and
// arguments as Python literals. Pure.
#pragma once

#include <string>

#include "base/io/json.h"

namespace grouper {

// Numbers by exact value, as Python compares (1 equals 1.0, 2^53 + 1 does not equal 2.0^53); no
// number equals a truth value; lists in order, objects by key.
bool SameValue(const Json& a, const Json& b);

// Appends the value as a Python literal: one line, ASCII only, no names but None, True and False.
void AppendPython(const Json& json, std::string* out);

}  // namespace grouper
