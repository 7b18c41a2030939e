// Checks of a config that need neither data nor weights. They write nothing and take no memory, so
// commands make them before they make a folder. A free function, any thread.
#pragma once

#include <cstdint>

#include "proto/config.pb.h"

namespace grouper {

// What a session needs: every number in its range, a tokenizer, a policy that can be built, stop
// tokens, and a cache that holds a completion of `most_new_tokens` (0: nothing is sampled). kUser
// naming the setting.
void CheckSessionSettings(const Config& config, int64_t most_new_tokens);

}  // namespace grouper
