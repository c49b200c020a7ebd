#!/usr/bin/env bash
# Builds the benchmarks and runs them: both sides of every ratio in one run. For a quiet machine: other work only adds time.
#
#   scripts/bench.sh [forward] [quantizer] [gptq] [images] [sweep]      all without names
#
#   forward     a forward pass of SmolLM2-135M beside transformers (scripts/reference.sh installs it), and a W4A4KV4 Haar
#               pass beside the full-precision one
#   quantizer   fused Haar + quantization + inverse beside a copy, eager ATen and torch.compile; DCT by FFT beside GEMM; WHT
#   gptq        GPTQ of SmolLM2's first blocks beside the same algorithm in eager PyTorch, with this schedule and as published
#   images      a denoising step of the trained DiT beside diffusers', and quantized beside full precision; haar2d with
#               blocks of 64 beside eager ATen
#   sweep       24 trials (3 methods x 2 transforms x 4 numbers of high tokens) as one sweep beside the same trials run one
#               by one, each from an empty cache; STAMP_BENCH_WINDOWS windows of 2048 tokens, 2 without it
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

wanted=()
for argument in "$@"; do
  case "$argument" in
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    forward | quantizer | gptq | images | sweep) wanted+=("$argument") ;;
    *) fail "unknown benchmark $argument" "There are forward, quantizer, gptq, images and sweep." ;;
  esac
done
if [ ${#wanted[@]} = 0 ]; then wanted=(forward quantizer gptq images sweep); fi

configure -DSTAMP_BUILD_BENCH=ON
build_targets stamp stamp-worker bench_forward bench_quantizer bench_gptq bench_dit bench_grid
note "revision $(git -C "$root" rev-parse --short HEAD), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"

# Seconds of one `stamp run` of the sweep in FOLDER/../sweep.yaml, with its own empty cache and run folder.
timed_run() { # timed_run FOLDER OPTIONS...
  local folder=$1 from to
  shift
  mkdir "$folder"
  from=$(date +%s.%N)
  STAMP_CACHE=$folder/cache "$build/bin/stamp" run "$folder/../sweep.yaml" --output "$folder/run" "$@" \
    >"$folder/table.md" 2>"$folder/log" || fail "a run failed" "$(tail -n 3 "$folder/log")"
  to=$(date +%s.%N)
  echo "$to - $from" | awk '{printf "%.1f", $1 - $3}'
}

bench_sweep() {
  local windows=${STAMP_BENCH_WINDOWS:-2} work together apart=0 seconds trials=0 method transform high
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  cat >"$work/sweep.yaml" <<EOF
schema: 1
name: bench_sweep
extends: [$root/experiments/quickstart/sweep.yaml]
data: {windows: $windows}
sweep:
  axes:
    quantization.method: [rtn, smoothquant, quarot]
    quantization.sequence.transform: [haar, dct]
    quantization.allocation.high_tokens: [16, 32, 64, 128]
EOF
  together=$(timed_run "$work/together")
  for method in rtn smoothquant quarot; do
    for transform in haar dct; do
      for high in 16 32 64 128; do
        seconds=$(timed_run "$work/$method-$transform-$high" --only \
          "quantization.method=$method,quantization.sequence.transform=$transform,quantization.allocation.high_tokens=$high")
        apart=$(awk "BEGIN {printf \"%.1f\", $apart + $seconds}")
        trials=$((trials + 1))
      done
      note "$method, $transform: $apart s so far, one by one"
    done
  done
  awk "BEGIN {printf \"sweep of %d trials, %d windows: %.1f s together, %.1f s one by one, ratio %.2f\\n\", $trials, $windows, $together, $apart, $together / $apart}"
}

for name in "${wanted[@]}"; do
  say "$name"
  case "$name" in
    forward) "$build/bin/bench_forward" ;;
    quantizer) "$build/bin/bench_quantizer" ;;
    gptq) "$build/bin/bench_gptq" ;;
    images) "$build/bin/bench_dit" && "$build/bin/bench_grid" ;;
    sweep) bench_sweep ;;
  esac
done
