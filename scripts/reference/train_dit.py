#!/usr/bin/env python3
"""The image model of train_dit.py against diffusers' DiTTransformer2DModel and DDIMScheduler, which read its folder as it is,
and the Frechet distance against scipy's matrix square root.

    scripts/reference.sh train_dit

Weights are random and non-zero everywhere; the committed checkpoint is compared too where it is there.
"""
import os
import pathlib
import sys
import tempfile

import scipy.linalg
import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel

import common

sys.path.insert(0, os.path.join(common.REPOSITORY, "scripts"))
from dit import checkpoint, classifier  # noqa: E402
from dit.model import SIZES, DiT, ddim  # noqa: E402

TOLERANCE = 1e-5
COMMITTED = pathlib.Path(common.REPOSITORY, "results", "cifar10_dit", "checkpoint")


def gap(mine, reference):
    return ((mine - reference).abs().max() / reference.abs().max()).item()


def random_pipeline(folder, size, seed):
    generator = torch.Generator().manual_seed(seed)
    model = DiT(SIZES[size]).initialize(generator)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    checkpoint.write_pipeline(folder, SIZES[size], model.state_dict(), torch.float32)


def guided(theirs, scheduler, x, labels, steps, guidance):
    scheduler.set_timesteps(steps)
    none = torch.full_like(labels, theirs.config.num_embeds_ada_norm)
    for t in scheduler.timesteps:
        eps = theirs(torch.cat([x, x]), timestep=t.expand(2 * len(x)), class_labels=torch.cat([labels, none])).sample
        with_class, without = eps.chunk(2)
        x = scheduler.step(without + guidance * (with_class - without), t, x, eta=0.0).prev_sample
    return x


def compare(checks, name, folder):
    mine = checkpoint.read_pipeline(folder)
    theirs, about = DiTTransformer2DModel.from_pretrained(folder / "transformer", output_loading_info=True, low_cpu_mem_usage=False)
    theirs = theirs.eval().float()
    left = about["missing_keys"] + about["unexpected_keys"] + about["mismatched_keys"]
    checks.check(f"{name}: every tensor is read", not left, str(left or len(theirs.state_dict())))
    generator = torch.Generator().manual_seed(1)
    t, labels = torch.tensor([3, 500, 980]), torch.tensor([1, 10, 7])
    for side in (32, 16):
        x = torch.randn(3, 3, side, side, generator=generator)
        found = gap(mine(x, t, labels), theirs(x, timestep=t, class_labels=labels).sample)
        checks.check(f"{name}: forward at {side}x{side}", found < TOLERANCE, f"{found:.1e} of the largest")
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    noise, labels = torch.randn(2, 3, 32, 32, generator=generator), torch.tensor([4, 9])
    found = gap(ddim(mine, noise, labels, 10, 2.0), guided(theirs, scheduler, noise, labels, 10, 2.0))
    # Ten passes through a network in float32, each from the result of the one before.
    checks.check(f"{name}: ten guided steps", found < 10 * TOLERANCE, f"{found:.1e} of the largest")


@torch.no_grad()
def main():
    checks = common.Checks("The image model of train_dit.py against diffusers")
    with tempfile.TemporaryDirectory() as folder:
        for seed, size in enumerate(("tiny", "small")):
            path = pathlib.Path(folder, size)
            random_pipeline(path, size, seed)
            compare(checks, size, path)
    if (COMMITTED / "model_index.json").exists():
        compare(checks, "committed", COMMITTED)
    generator = torch.Generator().manual_seed(5)
    a, b = (torch.randn(300, 40, generator=generator, dtype=torch.float64) @ torch.randn(40, 40, generator=generator, dtype=torch.float64)
            for _ in range(2))
    first, second = torch.cov(a.T), torch.cov(b.T)
    root = torch.from_numpy(scipy.linalg.sqrtm((first @ second).numpy()).real.copy())
    reference = ((a.mean(0) - b.mean(0)).square().sum() + (first + second - 2 * root).trace()).item()
    found = abs(classifier.frechet(a, b) - reference) / reference
    checks.check("Frechet distance", found < 1e-9, f"{found:.1e} relative")
    checks.finish()


main()
