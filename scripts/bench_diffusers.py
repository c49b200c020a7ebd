#!/usr/bin/env python3
"""One pass of a DiT in diffusers, float32, two samples of guidance.

    .venv-reference/bin/python scripts/bench_diffusers.py TRANSFORMER_FOLDER [--threads 2] [--passes 40] [--plain]

Prints the best pass in milliseconds. tests/bench/bench_dit.cpp calls it with --plain (the number alone).
"""
import argparse
import sys

import diffusers
import torch

import bench_passes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    bench_passes.add_options(parser, passes=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = diffusers.DiTTransformer2DModel.from_pretrained(arguments.folder, torch_dtype=torch.float32).eval()
    latent = torch.randn(2, model.config.in_channels, model.config.sample_size, model.config.sample_size)
    timestep, labels = torch.full((2,), 500), torch.ones(2, dtype=torch.long)
    best = bench_passes.best_ms(arguments.passes, lambda: model(latent, timestep=timestep, class_labels=labels))
    if arguments.plain:
        print(f"{best:.3f}")
    else:
        print(f"diffusers {diffusers.__version__}, torch {torch.__version__}, {arguments.threads} threads, "
              f"2 x {(model.config.sample_size // model.config.patch_size) ** 2} tokens: {best:.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
