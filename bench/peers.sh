#!/usr/bin/env bash
# Compares the speed of grouper with what a user would run instead, in turn on one core: training, decode, GRPO step.
# The peers' programs and their Python stay outside the repository; this script only calls them:
#   torch_speed.py THREADS, ct2_speed.py THREADS, gguf_speed.py BENCH THREADS, trl_step.py THREADS STEPS
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bench/peers.sh [--rounds N] [--core C] [--bin DIR] [--out DIR] [--llama-bench FILE] PYTHON PEERS_FOLDER
  PYTHON         interpreter with torch, transformers, trl, datasets, ctranslate2 (and gguf)
  PEERS_FOLDER   holds the peers' programs
  --rounds N     rounds, ours and theirs in turn (3)        --core C          the core all run on (0)
  --bin DIR      our programs (build/cpu/bin)               --out DIR         raw outputs (a temporary folder)
  --llama-bench FILE   llama-batched-bench; left out: no row of it
  PREFIX="..."   in the environment: a command put before each program, for example a lock
Example: bench/peers.sh --rounds 3 ~/venv/bin/python ~/peers
TEXT
}

rounds=3 core=0 bin=build/cpu/bin out="" llama=""
while [[ $# -gt 0 ]]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --rounds) rounds=$2; shift 2 ;;
    --core) core=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --llama-bench) llama=$(realpath "$2"); shift 2 ;;
    -*) echo "unknown flag $1; see --help" >&2; exit 2 ;;
    *) break ;;
  esac
done
if [[ $# -ne 2 ]]; then usage >&2; exit 2; fi
python=$1 peers=$(realpath "$2") bin=$(realpath "$bin")
here=$(dirname "$(realpath "$0")")
[[ -n $out ]] || out=$(mktemp -d)
mkdir -p "$out" && out=$(realpath "$out")

# NAME COMMAND...: on the one core; a program that fails costs its own row only.
run() {
  local name=$1 begin=$SECONDS
  shift
  # shellcheck disable=SC2086
  (cd "$peers" && ${PREFIX:-} taskset -c "$core" "$@") > "$out/$name" 2> "$out/$name.err" ||
    echo "  $name failed, see $out/$name.err" >&2
  echo "  $name: $((SECONDS - begin)) s" >&2
}

for round in $(seq 1 "$rounds"); do
  echo "round $round of $rounds" >&2
  run "ours_step.$round" "$bin/bench_policy" --grpo-step --threads 1 --json
  run "trl.$round" "$python" trl_step.py 1 6
  run "ours.$round" "$bin/bench_policy" --threads 1 --rounds 2 --json
  run "ct2.$round" "$python" ct2_speed.py 1
  [[ -z $llama ]] || run "llama.$round" "$python" gguf_speed.py "$llama" 1
  run "torch.$round" "$python" torch_speed.py 1
done
"$python" "$here/peers_table.py" "$out"
