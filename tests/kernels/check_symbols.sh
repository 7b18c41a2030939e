#!/usr/bin/env bash
# What objects compiled for one instruction set may hold. No weak symbol outside their own namespace: the linker could
# take that copy for all (kernels/cpu/lanes.h). No data of their own, and no call but the pool's, copies of memory and,
# in fp64, libm: so operators neither allocate nor keep state (A8). Arguments: object files of *_cpu.cc.
set -euo pipefail
bad=$(for object in "$@"; do
  nm -C --defined-only "$object" | awk -v o="$object" '
    $2 ~ /^[WVu]$/ && $0 !~ /grouper::cpu::(avx512|avx2|scalar|fp64)::/ {print o ": weak: " $0}
    $2 ~ /^[BbDdSsGgC]$/ {print o ": state: " $0}'
  nm -C --undefined-only "$object" | sed -E 's/^ *U //' | awk -v o="$object" '
    /^grouper::cpu::ThreadPool::Run\(/ || /^(__)?mem(cpy|set|move)(_chk)?$/ || /^__stack_chk_fail$/ {next}
    /^_GLOBAL_OFFSET_TABLE_$/ {next}
    (/^exp$/ || /^log$/) && o ~ /_fp64/ {next}
    {print o ": call: " $0}'
done)
if [[ -n "$bad" ]]; then
  echo "$bad"
  exit 1
fi
echo "checked $# objects"
[[ $# -ge 40 ]]
