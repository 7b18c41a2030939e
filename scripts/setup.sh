#!/usr/bin/env bash
# Installs the Debian 12 packages that building, testing and judging need. Does nothing when all are installed.
set -euo pipefail
packages=(
  g++ cmake ninja-build ccache git ca-certificates pkg-config
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler
  libgtest-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev libssl-dev libgmp-dev libseccomp-dev
  bubblewrap util-linux python3 clang-format-14
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi
echo "installing: ${missing[*]}"
as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq
         --no-install-recommends)
"${install[@]}" "${missing[@]}" >/dev/null 2>&1 && exit 0
# An empty or old package list is the usual reason: fetch it and try again, loudly.
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 update -qq
"${install[@]}" "${missing[@]}"
