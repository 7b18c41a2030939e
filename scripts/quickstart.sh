#!/usr/bin/env bash
# Packages, build, and the main job on the CPU: a mixture-of-experts policy learns to reason, in minutes.
# Arguments go to `grouper quickstart` (--seed N, --run DIR, --smoke, --json).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh 1>&2
cmake --preset cpu >/dev/null
ninja -C build/cpu grouper grouper-reward grouper-trace 1>&2
exec build/cpu/bin/grouper quickstart "$@"
