// Where characters end in bytes that claim to be UTF-8 (RFC 3629, section 4). Pure, no thread rule.
#pragma once

#include <cstddef>
#include <string_view>

namespace grouper {

// Length of the valid UTF-8 sequence at the start of text (not empty), 0 when there is none.
size_t Utf8Length(std::string_view text);

}  // namespace grouper
