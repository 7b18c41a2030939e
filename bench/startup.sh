#!/usr/bin/env bash
# Seconds from the exec of `grouper train` to past its first sampled token, own reward service included: a run of one step whose
# two completions have one token each, timed as a whole process. So scoring, an update's forward, a checkpoint and the exit are
# in it too: the first token comes earlier than what this prints.
set -euo pipefail

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  echo "usage: bench/startup.sh [BIN_DIR [RUNS]]   prints each run's seconds and their median (build/cpu/bin, 5)"
  echo "Example: bench/startup.sh build/cpu/bin 5"
  exit 0
fi
root=$(realpath "$(dirname "$0")/..")
bin=$(realpath "${1:-$root/build/cpu/bin}") runs=${2:-5}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for i in $(seq 1 "$runs"); do
  begin=$(date +%s%N)
  "$bin/grouper" train --config "$root/examples/quickstart_rl.textproto" --run "$folder/$i" --json \
    --set steps=1 --set prompts_per_step=1 --set group_size=2 --set sampling.max_new_tokens=1 --set data.eval= \
    > /dev/null 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
  end=$(date +%s%N)
  echo "$(((end - begin) / 1000000))"
done | sort -n | awk '{ms[NR] = $1; printf "%.3f s\n", $1 / 1000} END {printf "median %.3f s\n", ms[int((NR + 1) / 2)] / 1000}'
