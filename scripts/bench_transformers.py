#!/usr/bin/env python3
"""Forward pass of a GGUF model in transformers, float32, weights dequantized, logits of the last position only.

    .venv-reference/bin/python scripts/bench_transformers.py MODEL.gguf [--tokens 2048] [--threads 2] [--passes 5] [--plain]

Prints the best pass in milliseconds. tests/bench/bench_forward.cpp calls it with --plain (the number alone).
"""
import argparse
import os
import sys

import torch
import transformers

import bench_passes

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference"))
import gguf_model  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=2048)
    bench_passes.add_options(parser, passes=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    model = gguf_model.load(arguments.model)
    model.set_attn_implementation("sdpa")  # what a user of transformers gets; comparisons of values load "eager"
    ids = (torch.arange(arguments.tokens) * 7919 + 1116) % model.config.vocab_size
    best = bench_passes.best_ms(arguments.passes, lambda: model(ids[None], use_cache=False, logits_to_keep=1))
    if arguments.plain:
        print(f"{best:.2f}")
    else:
        print(f"transformers {transformers.__version__}, torch {torch.__version__}, {arguments.threads} threads, "
              f"{model.config._attn_implementation} attention, {arguments.tokens} tokens: {best:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
