"""What bench_diffusers.py and bench_transformers.py share: options of their command lines, and the best of several passes."""

import os
import time

import torch


def add_options(parser, passes):
    """--threads, --passes (`passes` unless given) and --plain."""
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--passes", type=int, default=passes)
    parser.add_argument("--plain", action="store_true")


def best_ms(passes, run):
    """Milliseconds of the fastest call of run()."""
    best = float("inf")
    with torch.inference_mode():
        for _ in range(passes):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
    return best * 1e3
