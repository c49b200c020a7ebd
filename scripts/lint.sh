#!/usr/bin/env bash
# Static analysis with clang-tidy (.clang-tidy) over our sources.
#
#   scripts/lint.sh [FILE...]     without files: everything the build compiles
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in
  -h | --help)
    sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
command -v clang-tidy >/dev/null || fail "clang-tidy is not installed" "Debian: sudo apt-get install clang-tidy"
[ -f "$build/compile_commands.json" ] || configure -DSTAMP_BUILD_TESTS=ON
files=("$@")
if [ ${#files[@]} = 0 ]; then
  mapfile -d '' files < <(find "$root/src" -name '*.cpp' -print0 | sort -z)
fi
# GCC's own options (-march=native values that this clang does not know) must not stop the analysis.
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(jobs)" clang-tidy -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option
