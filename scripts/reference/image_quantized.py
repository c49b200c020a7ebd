#!/usr/bin/env python3
"""SQNR of images of the quantized CIFAR-10 transformer by an independent eager program: dense transforms, plain torch.

    scripts/reference/image_quantized.py lvm_table1|fig1_images|lvm_fig7_grid|lvm_levels_2d|lvm_steps [--json FILE]

RTN trials of that experiment: asymmetric grids, clip search for weights, noise of an image from the hash of its name, 20 steps
of DDIM, guidance 2. The figures of its expected.yaml come from here. Minutes of two cores; needs torch.
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


def grouped(x, group):
    g = x.unflatten(-1, (-1, group or x.shape[-1]))
    return g, g.amin(-1, keepdim=True).clamp(max=0), g.amax(-1, keepdim=True).clamp(min=0)  # zero inside the range


def round_weight(w, bits=4):
    g, low, high = grouped(w, GROUP)
    best, out = torch.full_like(low, math.inf), g.clone()
    for i in range(80):
        candidate = grid(g, torch.tensor(2.0**bits - 1), low * (1 - i / 100), high * (1 - i / 100))
        error = (candidate - g).abs().pow(2.4).sum(-1, keepdim=True)
        out = torch.where(error < best, candidate, out)
        best = torch.minimum(best, error)
    return out.flatten(-2)


# ---- dense transforms of 256 tokens, rows are basis vectors ----------------------------------------------------------


def haar2d(levels):
    """From cells of four: coarse band first, then horizontal, vertical and diagonal details, coarse to fine."""
    maps, details = torch.eye(TOKENS, dtype=torch.float64).view(TOKENS, SIDE, SIDE), []
    for _ in range(levels):
        p, q, r, u = maps[:, ::2, ::2], maps[:, ::2, 1::2], maps[:, 1::2, ::2], maps[:, 1::2, 1::2]
        details.insert(0, torch.cat([((p - q + r - u) / 2).flatten(1), ((p + q - r - u) / 2).flatten(1), ((p - q - r + u) / 2).flatten(1)], 1))
        maps = (p + q + r + u) / 2
    return torch.cat([maps.flatten(1)] + details, 1).T.float()


def haar(levels):
    rows, details = torch.eye(TOKENS, dtype=torch.float64), []
    for _ in range(levels):
        details.insert(0, (rows[::2] - rows[1::2]) / math.sqrt(2))
        rows = (rows[::2] + rows[1::2]) / math.sqrt(2)
    return torch.cat([rows] + details).float()


def dct():
    n = torch.arange(TOKENS, dtype=torch.float64)
    rows = torch.cos(math.pi * (n + 0.5) * n[:, None] / TOKENS) * math.sqrt(2 / TOKENS)
    rows[0] /= math.sqrt(2)
    return rows.float()


def wht():
    """Ordered by the number of sign changes."""
    rows = torch.ones(1, 1)
    while len(rows) < TOKENS:
        rows = torch.cat([torch.cat([rows, rows], 1), torch.cat([rows, -rows], 1)])
    changes = (rows[:, 1:] != rows[:, :-1]).sum(1)
    return rows[changes.argsort()] / math.sqrt(TOKENS)


# ---- trials ----------------------------------------------------------------------------------------------------------


class Activations:
    def __init__(self, high_tokens=0, transform=None, group=GROUP, bits=4):
        self.bits = torch.full((TOKENS, 1, 1), float(bits))
        self.bits[:high_tokens] = 8
        self.transform, self.group = transform, group

    def rounded(self, x):
        g, low, high = grouped(x, self.group)
        return grid(g, 2.0**self.bits - 1, low, high).flatten(-2)

    def __call__(self, x):
        return self.rounded(x) if self.transform is None else self.transform.T @ self.rounded(self.transform @ x)


def trials(experiment):
    """name -> (weights quantized, activations or None)"""
    four, wavelet = Activations, haar2d(3)
    if experiment == "lvm_table1":
        return {"rtn_uniform": (True, four()), "rtn_identity": (True, four(4)), "rtn_haar2d": (True, four(4, wavelet)),
                "rtn_identity_64": (True, four(64)), "rtn_haar2d_64": (True, four(64, haar2d(1))), "weights_only": (True, None),
                "activations_uniform": (False, four()), "activations_identity": (False, four(4)), "activations_haar2d": (False, four(4, wavelet))}
    if experiment == "fig1_images":
        return {"rtn_identity": (False, four(group=None)), "rtn_haar2d": (False, four(4, wavelet, None))}
    if experiment == "lvm_fig7_grid":
        every = {"identity": None, "haar": haar(6), "haar2d": wavelet, "dct": dct(), "wht": wht()}
        return {f"rtn_{name}": (True, four(4, transform)) for name, transform in every.items()}
    if experiment == "lvm_levels_2d":
        some = {f"levels_{j}_tokens_{k}": (False, four(k, haar2d(j))) for j, k in ((1, 4), (2, 4), (3, 4), (4, 4), (3, 1), (3, 16), (3, 64), (1, 64))}
        return {**some, "identity_4": (False, four(4)), "uniform_5_bits": (False, four(bits=5)), "haar_6_levels": (False, four(4, haar(6)))}
    return {"both_identity": (True, four(4)), "both_haar2d": (True, four(4, wavelet)), "activations_identity": (False, four(4)),
            "activations_haar2d": (False, four(4, wavelet)), "weights": (True, None)}


COUNTS = {"lvm_table1": 32, "fig1_images": 16, "lvm_fig7_grid": 8, "lvm_levels_2d": 8, "lvm_steps": 8}


def linears(model):
    for block in model.transformer_blocks:
        a = block.attn1
        yield from (a.to_q, a.to_k, a.to_v, a.to_out[0], block.ff.net[0].proj, block.ff.net[2])


def quantized(weights, activations):
    model = checkpoint.read_pipeline(ROOT / "results" / "cifar10_dit" / "checkpoint")
    with torch.no_grad():
        for layer in linears(model):
            if weights:
                layer.weight.copy_(round_weight(layer.weight))
            if activations:
                layer.register_forward_pre_hook(lambda _, args: (activations(args[0]),))
    return model


def ratio(reference, other):
    """Mean of the images' own dB."""
    signal, error = reference.square().flatten(1).sum(1), (reference - other).square().flatten(1).sum(1)
    return (10 * torch.log10(signal / error)).mean().item()


class Recorded:
    """A model that keeps what it was asked and what it answered, both samples of guidance side by side."""

    def __init__(self, model):
        self.model, self.config, self.asked, self.answers = model, model.config, [], []

    def __call__(self, x, t, labels):
        self.asked.append((x, t, labels))
        self.answers.append(self.model(x, t, labels))
        return self.answers[-1]


def paired(output):
    return torch.stack(output.chunk(2), 1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("experiment", choices=list(COUNTS))
    arguments.add_argument("--json", type=pathlib.Path)
    options = arguments.parse_args()
    count = COUNTS[options.experiment]
    judge, _ = classifier.read(ROOT / "results" / "cifar10_dit" / "classifier.safetensors")
    labels, noise = torch.arange(count) % 10, noise_of(count)

    def accuracy(images):
        return (classifier.apply(judge, data.to_bytes(images)).argmax(1) == labels).float().mean().item()

    full = Recorded(quantized(False, None))
    reference = ddim(full, noise, labels, 20, 2)
    results = {"class_accuracy_fp": accuracy(reference)}
    print("full precision: class accuracy", results["class_accuracy_fp"], flush=True)
    for name, (weights, activations) in trials(options.experiment).items():
        model = quantized(weights, activations)
        images = ddim(model, noise, labels, 20, 2)
        results[name] = {"latent_sqnr": ratio(reference, images), "class_accuracy": accuracy(images)}
        if options.experiment == "lvm_steps":
            with torch.no_grad():
                own = [ratio(paired(answer), paired(model(*asked))) for asked, answer in zip(full.asked, full.answers)]
            results[name].update(noise_sqnr=sum(own) / len(own), first_step=own[0], last_step=own[-1])
        print(name, {key: round(value, 4) for key, value in results[name].items()}, flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
