#!/usr/bin/env python3
"""Haar (5 levels) + per-token quantize-dequantize + inverse on 2048 x 4096 float32, in torch.compile and eager PyTorch.

Prints the best time of each in milliseconds. tests/bench/bench_quantizer.cpp calls it with --plain (two numbers:
compiled, eager). torch.compile needs a C++ compiler.
"""
import argparse
import os
import sys
import time

import torch

TOKENS, FEATURES, HIGH, LEVELS = 2048, 4096, 64, 5


def quantize(x, steps):
    c = 0.5 ** 0.5
    a, details = x, []
    for _ in range(LEVELS):
        even, odd = a[0::2], a[1::2]
        details.append((even - odd) * c)
        a = (even + odd) * c
    t = torch.cat([a] + details[::-1])
    low = t.amin(1, keepdim=True).clamp_max(0)
    high = t.amax(1, keepdim=True).clamp_min(0)
    delta = (high - low) / steps
    zero = torch.round(-low / delta)
    q = (torch.minimum(torch.clamp_min(torch.round(t / delta) + zero, 0), steps) - zero) * delta
    n = a.shape[0]
    back = q[:n]
    for _ in range(LEVELS):
        d = q[n:2 * n]
        back = torch.stack(((back + d) * c, (back - d) * c), 1).reshape(2 * n, -1)
        n *= 2
    return back


def best_ms(function, *arguments, seconds=3.0):
    for _ in range(3):
        function(*arguments)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", action="store_true", help="two numbers only")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    x = torch.randn(TOKENS, FEATURES, generator=torch.Generator().manual_seed(0))
    steps = torch.full((TOKENS, 1), 15.0)
    steps[:HIGH] = 255.0
    with torch.no_grad():
        compiled = torch.compile(quantize)
        differing = (compiled(x, steps) - quantize(x, steps)).abs().gt(1e-4).double().mean().item()
        if differing > 0.01:
            print(f"torch.compile and eager disagree on {differing:.1%} of the values", file=sys.stderr)
            return 1
        compiled_best, eager_best = best_ms(compiled, x, steps), best_ms(quantize, x, steps)
    if arguments.plain:
        print(f"{compiled_best:.4f} {eager_best:.4f}")
    else:
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}: "
              f"torch.compile {compiled_best:.2f} ms, eager {eager_best:.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
