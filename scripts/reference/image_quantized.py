#!/usr/bin/env python3
"""SQNR of images of the quantized CIFAR-10 transformer by an independent eager program: dense transforms, plain torch.

    scripts/reference/image_quantized.py [--count 32] [--steps 20] [--guidance 2] [--json FILE]

W4A4 in blocks of 64 with asymmetric grids, clip search for weights; noise of an image from the hash of its name; DDIM. The
figures of experiments/lvm_table1/expected.yaml come from here. A line takes a minute or two of two cores; needs torch.
"""
import argparse
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from dit import checkpoint, classifier, data  # noqa: E402
from dit.model import ddim  # noqa: E402

import torch  # noqa: E402

SIDE, GROUP = 16, 64  # tokens along the grid; channels that share a scale
TOKENS = SIDE * SIDE


def name_of(image):
    return f"class {image % 10}" + (f"-{image // 10}" if image >= 10 else "")


def seed_of(name):
    h = 0
    for character in name:
        h = (31 * h + ord(character)) % (10**9 + 7)
    return h


def noise_of(count):
    def one(image):
        return torch.randn(1, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(seed_of(name_of(image))))

    return torch.cat([one(image) for image in range(count)])


def grid(x, steps, low, high):
    step = (high - low) / steps
    step = torch.where(step == 0, torch.ones_like(step), step)
    zero = torch.round(-low / step)
    return step * (torch.clamp(torch.round(x / step) + zero, torch.zeros_like(steps), steps) - zero)


def round_groups(x, bits):
    """Asymmetric, zero inside the range; bits: a tensor that fits x in groups of the last dimension."""
    g = x.unflatten(-1, (-1, GROUP))
    low, high = g.amin(-1, keepdim=True).clamp(max=0), g.amax(-1, keepdim=True).clamp(min=0)
    return grid(g, 2.0**bits - 1, low, high).flatten(-2)


def round_weight(w, bits=4):
    g = w.unflatten(-1, (-1, GROUP))
    low, high = g.amin(-1, keepdim=True).clamp(max=0), g.amax(-1, keepdim=True).clamp(min=0)
    best, out = torch.full_like(low, math.inf), g.clone()
    for i in range(80):
        candidate = grid(g, torch.tensor(2.0**bits - 1), low * (1 - i / 100), high * (1 - i / 100))
        error = (candidate - g).abs().pow(2.4).sum(-1, keepdim=True)
        out = torch.where(error < best, candidate, out)
        best = torch.minimum(best, error)
    return out.flatten(-2)


def haar2d(levels):
    """Dense, from cells of four: coarse band first, then horizontal, vertical and diagonal details, coarse to fine."""
    maps, details = torch.eye(TOKENS, dtype=torch.float64).view(TOKENS, SIDE, SIDE), []
    for _ in range(levels):
        p, q, r, u = maps[:, ::2, ::2], maps[:, ::2, 1::2], maps[:, 1::2, ::2], maps[:, 1::2, 1::2]
        details.insert(0, torch.cat([((p - q + r - u) / 2).flatten(1), ((p + q - r - u) / 2).flatten(1), ((p - q - r + u) / 2).flatten(1)], 1))
        maps = (p + q + r + u) / 2
    return torch.cat([maps.flatten(1)] + details, 1).T.float()


class Activations:
    def __init__(self, high_tokens, transform):
        self.bits = torch.full((TOKENS, 1, 1), 4.0)
        self.bits[:high_tokens] = 8
        self.transform = transform

    def __call__(self, x):
        if self.transform is None:
            return round_groups(x, self.bits)
        return self.transform.T @ round_groups(self.transform @ x, self.bits)


def linears(model):
    for block in model.transformer_blocks:
        a = block.attn1
        yield from (a.to_q, a.to_k, a.to_v, a.to_out[0], block.ff.net[0].proj, block.ff.net[2])


def sampled(weights, activations, options):
    model = checkpoint.read_pipeline(ROOT / "results" / "cifar10_dit" / "checkpoint")
    with torch.no_grad():
        for layer in linears(model):
            if weights:
                layer.weight.copy_(round_weight(layer.weight))
            if activations:
                layer.register_forward_pre_hook(lambda _, args: (activations(args[0]),))
    labels = torch.arange(options.count) % 10
    return ddim(model, noise_of(options.count), labels, options.steps, options.guidance)


def ratio(reference, other):
    """Mean of the images' own dB."""
    signal, error = reference.square().sum((1, 2, 3)), (reference - other).square().sum((1, 2, 3))
    return (10 * torch.log10(signal / error)).mean().item()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--count", type=int, default=32)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--guidance", type=float, default=2)
    arguments.add_argument("--json", type=pathlib.Path)
    options = arguments.parse_args()
    judge, _ = classifier.read(ROOT / "results" / "cifar10_dit" / "classifier.safetensors")
    labels = torch.arange(options.count) % 10
    reference, results = sampled(False, None, options), {}

    def accuracy(images):
        return (classifier.apply(judge, data.to_bytes(images)).argmax(1) == labels).float().mean().item()

    results["class_accuracy_fp"] = accuracy(reference)
    print("full precision: class accuracy", results["class_accuracy_fp"], flush=True)
    wavelet = haar2d(3)
    for name, weights, activations in (
        ("W4A4, 4 bits", True, Activations(0, None)), ("W4A4, 4 tokens at 8 bits", True, Activations(4, None)),
        ("W4A4, haar2d, 4 tokens at 8 bits", True, Activations(4, wavelet)), ("W4A4, 64 tokens at 8 bits", True, Activations(64, None)),
        ("W4A4, haar2d of 1 level, 64 tokens at 8 bits", True, Activations(64, haar2d(1))), ("W4A16", True, None),
        ("W16A4, 4 bits", False, Activations(0, None)), ("W16A4, 4 tokens at 8 bits", False, Activations(4, None)),
        ("W16A4, haar2d, 4 tokens at 8 bits", False, Activations(4, wavelet)),
    ):
        images = sampled(weights, activations, options)
        results[name] = {"latent_sqnr": ratio(reference, images), "class_accuracy": accuracy(images)}
        print(f"{name}: {results[name]['latent_sqnr']:.4f} dB, class accuracy {results[name]['class_accuracy']:.4f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
