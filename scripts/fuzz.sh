#!/usr/bin/env bash
# Runs every fuzz target on its seed corpus with the address and undefined-behaviour sanitizers. Needs clang and its
# libFuzzer (Debian: clang, libclang-rt-14-dev). Safe to run again; inputs found before are kept in the build folder.
#
#   scripts/fuzz.sh [--seconds N]      all targets together, 60 unless told
#
# A failure leaves the input that caused it in the build folder and ends with exit code 1.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=60
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=${2:-}; shift 2 || fail "--seconds needs a number" ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    [0-9]*) seconds=$1; shift ;;
    *) fail "unknown option $1" "Options: --seconds N" ;;
  esac
done
[[ $seconds =~ ^[0-9]+$ ]] || fail "--seconds is \"$seconds\", not a whole number"

clang=${STAMP_CLANG:-clang++}
command -v "$clang" >/dev/null || fail "fuzzing needs clang++" "Debian: apt-get install clang libclang-rt-14-dev. STAMP_CLANG names another one."
build=${STAMP_FUZZ_BUILD:-$root/build-fuzz}

# g++'s OpenMP run-time does: none of the fuzzed code depends on threads, and clang's own is one more package.
gomp=$(g++ -print-file-name=libgomp.so)
say "configuring $build"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$clang" \
  -DCMAKE_C_COMPILER="${clang/clang++/clang}" -DCMAKE_CXX_FLAGS="-idirafter $root/tests/fuzz/openmp" \
  -DOpenMP_CXX_FLAGS=-fopenmp=libgomp -DOpenMP_CXX_LIB_NAMES=gomp -DOpenMP_gomp_LIBRARY="$gomp" \
  -DSTAMP_WITH_TORCH=OFF -DSTAMP_BUILD_TESTS=OFF -DSTAMP_BUILD_FUZZ=ON -DSTAMP_SANITIZE=address,undefined,fuzzer-no-link >&2

targets=()
for source in "$root"/tests/fuzz/fuzz_*.cpp; do targets+=("$(basename "$source" .cpp)"); done
build_targets "${targets[@]}"
corpus=$build/corpus
python3 "$root/tests/fuzz/corpus.py" "$corpus"

each=$(((seconds + ${#targets[@]} - 1) / ${#targets[@]}))
failed=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
for target in "${targets[@]}"; do
  say "$target, $each s from $(find "$corpus/$target" -type f | wc -l) inputs"
  log=$build/$target.log
  if "$build/bin/$target" -max_total_time="$each" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=256 -max_len=65536 -seed=1 \
    -print_final_stats=1 -artifact_prefix="$build/$target-" "$corpus/$target" >"$log" 2>&1; then
    note "$(grep -E 'number_of_executed_units' "$log" | tr -s ' ') and no fault"
  else
    failed=1
    tail -n 40 "$log" >&2
    note "FAILED: $target; its input lies at $build/$target-*"
  fi
done
exit $failed
