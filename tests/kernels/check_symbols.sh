#!/usr/bin/env bash
# Checks the symbols of objects that are compiled for one instruction set; arguments: object files of *_cpu.cc.
# They have no weak symbol outside their own namespace, or the linker could use that copy for all instruction sets
# (kernels/cpu/lanes.h). They have no data, and call nothing but the thread pool, memcpy and its kin and, in fp64, libm:
# so operators neither allocate nor keep state (docs/ARCHITECTURE.md, "Invariants").
set -euo pipefail
bad=$(nm -A -C "$@" | awk '
  {
    object = $0; sub(/:.*/, "", object)
    sub(/^[^:]*: */, "")
    sub(/^[0-9a-f]+ /, "")  # no address before what is undefined
    kind = substr($0, 1, 1); name = substr($0, 3)
  }
  kind == "U" {
    if (name ~ /^grouper::cpu::ThreadPool::Run\(/ || name ~ /^(__)?mem(cpy|set|move)(_chk)?$/) next
    if (name == "__stack_chk_fail" || name == "_GLOBAL_OFFSET_TABLE_") next
    if ((name == "exp" || name == "log") && object ~ /_fp64/) next
    print object ": call: " name
  }
  kind ~ /[WVuvw]/ && name !~ /grouper::cpu::(avx512|avx2|scalar|fp64)::/ {print object ": weak: " name}
  kind ~ /[BbDdSsGgC]/ {print object ": state: " name}')
if [[ -n "$bad" ]]; then
  echo "$bad"
  exit 1
fi
echo "checked $# objects"
[[ $# -ge 40 ]]
