#!/usr/bin/env bash
# No object compiled for one instruction set may define a weak symbol outside its own namespace: the linker could take
# that copy for all (kernels/cpu/lanes.h). Arguments: object files of *_cpu.cc.
set -euo pipefail
bad=$(for object in "$@"; do
  nm -C --defined-only "$object" | awk -v o="$object" '$2 ~ /^[WVu]$/ && $0 !~ /grouper::cpu::(avx512|avx2|scalar|fp64)::/ {print o ": " $0}'
done)
if [[ -n "$bad" ]]; then
  echo "$bad"
  exit 1
fi
echo "checked $# objects"
[[ $# -ge 40 ]]
