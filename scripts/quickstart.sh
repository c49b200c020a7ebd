#!/usr/bin/env bash
# From a clean clone to a table and plots of real numbers: sets up, builds, runs experiments/quickstart on SmolLM2-135M.
# Safe to run again: finished trials are kept, so a second run only prints the table and draws the plots.
#
#   scripts/quickstart.sh [--smoke] [options of `stamp run`]
#
#   --smoke   one short window and tiny calibration: does everything run? Its numbers are not results.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

output='' smoke=0 previous=''
for argument in "$@"; do
  case "$argument" in
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --smoke) smoke=1 ;;
    --output=*) output=${argument#--output=} ;;
  esac
  if [ "$previous" = --output ]; then output=$argument; fi
  previous=$argument
done
arguments=("$@")
if [ -z "$output" ]; then
  output=$root/runs/quickstart
  arguments+=(--output "$output")
fi
# `stamp run --smoke` keeps its trials apart from real ones.
if [ "$smoke" = 1 ]; then output=${output%/}-smoke; fi

started=$(date +%s)
"$root/scripts/setup.sh" --no-gemma
# Without tests: they double the build. A tree that was configured with them keeps them.
if [ -f "$build/CMakeCache.txt" ]; then configure; else configure -DSTAMP_BUILD_TESTS=OFF; fi
build_targets stamp stamp-worker
say "set up and built in $(elapsed "$started")"

sweep_started=$(date +%s)
say "running experiments/quickstart"
status=0
"$build/bin/stamp" run "$root/experiments/quickstart/sweep.yaml" "${arguments[@]}" || status=$?
say "sweep took $(elapsed "$sweep_started")"
# 3: some trials failed and are recorded as such; what finished is still worth drawing.
if [ "$status" != 0 ] && [ "$status" != 3 ]; then exit "$status"; fi

say "drawing"
PATH="$root/.venv/bin:$PATH" "$build/bin/stamp" plot "$output" >&2 || { [ "$status" != 0 ] || status=$?; }

say "done in $(elapsed "$started")"
note "records  $output/records.jsonl"
note "tables   $output/tables/"
note "plots    $output/plots/"
note "read on  docs/results.md"
exit "$status"
