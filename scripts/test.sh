#!/usr/bin/env bash
# All tests: builds everything, then the test programs, the tree's own rules, the shipped files. Goes on after a failure;
# ends with counts, and with exit code 1 when anything failed. Safe to run again.
#
#   scripts/test.sh [options of ctest]      for example: scripts/test.sh -R test_quant
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  -h | --help)
    sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

started=$(date +%s)
"$root/scripts/setup.sh"
configure -DSTAMP_BUILD_TESTS=ON
build_targets
say "set up and built in $(elapsed "$started")"

passed=0 failed=0
step() { # step NAME COMMAND...
  local name=$1
  shift
  if "$@" >&2; then
    passed=$((passed + 1))
    printf '   ok: %s\n' "$name" >&2
  else
    failed=$((failed + 1))
    printf '   FAILED: %s (%s)\n' "$name" "$*" >&2
  fi
}

cd "$root"
stamp=$build/bin/stamp
shopt -s nullglob
say "rules of the tree"
step "layers" python3 scripts/check_layers.py --program "$stamp"
step "tree" python3 scripts/check_tree.py
step "format" scripts/format.sh --check

say "shipped files"
step "validate" "$stamp" validate configs/*/*.yaml experiments/*/*.yaml
step "generated pages" scripts/docs.py --check --program "$stamp"
step "figures" "$root/.venv/bin/python" scripts/plot.py --self-test

say "test programs"
log=$build/ctest.log
# Numeric kernels are threaded themselves, so a few programs at a time fill the machine.
parallel=$(jobs)
if [ "$parallel" -gt 4 ]; then parallel=4; fi
# Two programs with two threads each on two cores: threads that wait must not spin.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$parallel" "$@" </dev/null 2>&1 | tee "$log" >&2 || true
# "97% tests passed, 1 tests failed out of 30"
counts=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' "$log" | tail -n 1)
if [ -n "$counts" ]; then
  read -r bad total <<<"$counts"
  passed=$((passed + total - bad)) failed=$((failed + bad))
else
  printf '   FAILED: ctest printed no summary\n' >&2
  failed=$((failed + 1))
fi

say "tests took $(elapsed "$started")"
echo "$passed $failed" >"$build/test-counts"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
