# Sourced by the other scripts: where the tree is, how they talk, how they configure and build.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${STAMP_BUILD:-$root/build}

# Talk goes to stderr; stdout stays free for tables and counts.
say() { printf '== %s\n' "$*" >&2; }
note() { printf '   %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# A LibTorch source needs up to 1.3 GB to compile, so memory limits the jobs as much as cores do.
jobs() {
  local cores memory_gb
  cores=$(nproc 2>/dev/null || echo 2)
  memory_gb=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 4)
  if [ "$memory_gb" -lt 1 ]; then memory_gb=1; fi
  if [ "$cores" -lt "$memory_gb" ]; then echo "$cores"; else echo "$memory_gb"; fi
}

# The LibTorch a user gave: STAMP_TORCH, or a folder of CMAKE_PREFIX_PATH that holds one. Empty: the one in .venv.
given_torch() {
  local folder
  if [ -n "${STAMP_TORCH:-}" ]; then
    [ -f "$STAMP_TORCH/include/ATen/ATen.h" ] ||
      fail "STAMP_TORCH=$STAMP_TORCH holds no LibTorch (no include/ATen/ATen.h)" \
        "Give the folder that holds include/ and lib/, or unset it to use the one in .venv."
    echo "$STAMP_TORCH"
    return
  fi
  local IFS=':;'
  for folder in ${CMAKE_PREFIX_PATH:-}; do
    if [ -f "$folder/include/ATen/ATen.h" ]; then
      echo "$folder"
      return
    fi
  done
}

# configure EXTRA...: Release with Ninja in build/. Options already in the cache stay unless given.
configure() {
  local torch
  torch=$(given_torch)
  local options=(-DCMAKE_BUILD_TYPE=Release)
  if [ -n "$torch" ]; then options+=("-DSTAMP_TORCH=$torch"); fi
  say "configuring $build"
  cmake -S "$root" -B "$build" -G Ninja "${options[@]}" "$@" >&2
}

# build_targets [TARGET...]: everything without one.
build_targets() {
  local arguments=()
  if [ $# -gt 0 ]; then arguments=(--target "$@"); fi
  say "building with $(jobs) jobs"
  cmake --build "$build" -j "$(jobs)" "${arguments[@]}" >&2
}

elapsed() { # elapsed FROM_SECONDS
  local s=$(($(date +%s) - $1))
  printf '%d min %02d s' $((s / 60)) $((s % 60))
}
