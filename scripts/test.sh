#!/usr/bin/env bash
# Packages, build, checks, all tests but the label slow. `scripts/test.sh --slow` runs those as well.
set -euo pipefail
cd "$(dirname "$0")/.."
label=(-LE slow)
if [[ "${1:-}" == --slow ]]; then label=(); fi
scripts/setup.sh
cmake --preset cpu >/dev/null
.ci/check_layers
.ci/check_sizes
.ci/check_format
.ci/check_docs
ninja -C build/cpu
ctest --test-dir build/cpu -j2 --output-on-failure "${label[@]}"
