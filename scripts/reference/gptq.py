#!/usr/bin/env python3
"""GPTQ of real layers: our weights against two other programs, from the same W and H.

    scripts/reference.sh gptq

1. llmcompressor's quantize_weight (the library behind vLLM's checkpoints), float32 on the CPU, with the scales of the same
   grid: per channel and per group, symmetric and asymmetric, with and without act-order. Its groups are static ones.
2. The published pseudo-code, one column after the other, in eager PyTorch, float64 (written here, no library): all of the
   above and dynamic groups.

H comes from activations of SmolLM2 on WikiText-2 (transformers), W is the layer's. Two programs agree until a weight stands
on the edge between two levels; from there on the row differs. How many weights that may move is measured: the other program
is run again with relative noise of 1e-6 on H (float32 sums differ by that), and ours may differ twice as much, plus 0.1%.
"""
import json
import os
import subprocess
import tempfile

import gguf_model
import llama_cpp
import numpy as np
import torch

import common

TOKENS, WINDOWS = 512, 4
# Layer, its projection, and whether all or the first rows are taken (the Python loops are slow).
LAYERS = [(0, "self_attn.q_proj", 576), (12, "self_attn.o_proj", 576), (20, "mlp.gate_proj", 256), (20, "mlp.down_proj", 128)]
try:
    from compressed_tensors.quantization import QuantizationArgs
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight
except ImportError as error:
    quantize_weight, missing = None, error


def real_layers():
    """name, W (m x d), H (d x d float64) of every layer of LAYERS."""
    text = common.wikitext2_test()
    if text is None:
        raise SystemExit("WikiText-2 test is absent: set STAMP_DATA")
    vocabulary = llama_cpp.Llama(common.smollm2(), vocab_only=True, verbose=False)
    ids = vocabulary.tokenize(text[: TOKENS * WINDOWS * 12].encode(), add_bos=False, special=False)
    model = gguf_model.load(common.smollm2())
    sums, hooks, modules = {}, [], {}
    for index, name, _ in LAYERS:
        key = f"layers.{index}.{name}"
        modules[key] = model.model.layers[index].get_submodule(name)

        def see(_, args, key=key):
            x = args[0][0].double()
            sums[key] = sums.get(key, 0) + x.t() @ x

        hooks.append(modules[key].register_forward_pre_hook(see))
    with torch.inference_mode():
        for w in range(WINDOWS):
            model.model(torch.tensor(ids[w * TOKENS : (w + 1) * TOKENS])[None], use_cache=False)
        for index, name, rows in LAYERS:
            key = f"layers.{index}.{name}"
            yield key, modules[key].weight[:rows].detach().clone(), sums[key] * (2 / WINDOWS)


def scale_of(w, bits, symmetric, clip_search):
    """Step and zero point of every row of w (m x n), specification 1.2, 1.3, 1.5, float32."""
    steps = 2**bits - 1
    low, high = w.amin(1, keepdim=True).clamp(max=0), w.amax(1, keepdim=True).clamp(min=0)
    limit = torch.maximum(-low, high).clamp(min=1e-5)
    best = torch.full_like(low, torch.inf)
    delta, zero = torch.ones_like(low), torch.zeros_like(low)
    for i in range(80 if clip_search else 1):
        p = torch.tensor(1 - i / 100, dtype=torch.float32)
        if symmetric:
            d, z = limit * p / (steps // 2), torch.full_like(low, (steps + 1) // 2)
        else:
            d = (high * p - low * p) / steps
            z = torch.round(-(low * p) / d)
        q = (torch.clamp(torch.round(w / d) + z, 0, steps) - z) * d
        error = (q - w).abs().double().pow(2.4).sum(1, keepdim=True)
        better = error < best
        delta, zero, best = torch.where(better, d, delta), torch.where(better, z, zero), torch.where(better, error, best)
    return delta, zero


def group_scales(w, s):
    group = s["group"] or w.shape[1]
    parts = [scale_of(w[:, a : a + group], s["bits"], s["symmetric"], s["clip_search"]) for a in range(0, w.shape[1], group)]
    return torch.cat([d for d, _ in parts], 1), torch.cat([z for _, z in parts], 1)


def published(w, h, s):
    """Specification 4.2 word by word, without its blocks, float64."""
    original, w, h = w, w.double(), h.clone()
    steps, columns = 2 ** s["bits"] - 1, w.shape[1]
    group = s["group"] or columns
    dynamic = bool(s["group"]) and not s["static_groups"]
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    order = torch.argsort(h.diagonal(), descending=True) if s["act_order"] else torch.arange(columns)
    w, h = w[:, order], h[order][:, order]
    h.diagonal().add_(s["percdamp"] * h.diagonal().mean())
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    deltas, zeros = group_scales(original, s)
    out, loss = torch.zeros_like(w), 0.0
    for j in range(columns):
        if dynamic and j % group == 0:
            delta, zero = (t[:, 0].double() for t in scale_of(w[:, j : j + group].float(), s["bits"], s["symmetric"], s["clip_search"]))
        elif not dynamic:
            g = order[j] // group
            delta, zero = deltas[:, g].double(), zeros[:, g].double()
        q = (torch.clamp(torch.round(w[:, j] / delta) + zero, 0, steps) - zero) * delta
        error = (w[:, j] - q) / u[j, j]
        loss += error.square().sum().item() / 2
        w[:, j:] -= error[:, None] * u[j, j:]
        out[:, order[j]] = q
    return out, loss


def library(w, h, s):
    """llmcompressor; its integers are signed, so zero points move by half the levels."""
    delta, zero = group_scales(w, s)
    arguments = QuantizationArgs(
        num_bits=s["bits"], symmetric=s["symmetric"], strategy="group" if s["group"] else "channel",
        group_size=s["group"] or None, actorder="weight" if s["act_order"] else None)
    points = torch.zeros_like(zero) if s["symmetric"] else zero - 2 ** (s["bits"] - 1)
    out, losses, fallback = quantize_weight(
        w[None].clone(), h[None].float(), delta[None], points[None], None, arguments, percdamp=s["percdamp"])
    if fallback.any():
        raise SystemExit("llmcompressor fell back to rounding")
    return out[0].double(), losses.sum().item()


def ours(w, h, s):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("settings.json", "in", "out")]
        with open(paths[0], "w", encoding="ascii") as file:
            json.dump({**s, "rows": w.shape[0], "inputs": w.shape[1]}, file)
        with open(paths[1], "wb") as file:
            file.write(w.contiguous().numpy().tobytes() + h.contiguous().numpy().tobytes())
        answer = json.loads(subprocess.run([common.program("gptq_dump"), *paths], check=True, capture_output=True).stdout)
        return torch.from_numpy(np.fromfile(paths[2], dtype=np.float32)).reshape(w.shape).double(), answer["loss"]


def noisy(h):
    noise = 1 + 1e-6 * torch.randn_like(h)
    return h * (torch.triu(noise) + torch.triu(noise, 1).t())  # stays symmetric


def moved(a, b):
    """Share of weights on another level: a step is a seventh of the row's largest weight, or more with fewer bits."""
    return ((a - b).abs() > 0.01 * b.abs().amax(1, keepdim=True)).double().mean().item()


def output_error(w, q, h):
    difference = w.double() - q
    return ((difference @ h) * difference).sum().item()


def main():
    torch.manual_seed(0)
    checks = common.Checks("GPTQ on real layers of SmolLM2")
    if quantize_weight is None:
        print(f"  llmcompressor is not compared: {missing} (scripts/reference.sh gptq installs it)")
    base = {"bits": 4, "symmetric": True, "clip_search": True, "group": 0, "act_order": False, "static_groups": False, "percdamp": 0.01}
    variants = [{}, {"symmetric": False, "clip_search": False}, {"act_order": True}, {"group": 64, "static_groups": True},
                {"group": 64, "static_groups": True, "act_order": True, "symmetric": False}, {"group": 64},
                {"group": 128, "symmetric": False, "clip_search": False, "bits": 3}, {"group": 64, "act_order": True}]
    for name, w, h in real_layers():
        for change in variants:
            s = {**base, **change}
            title = f"{name} {tuple(w.shape)}, {', '.join(f'{k} {v}' for k, v in change.items()) or 'defaults'}"
            mine, my_loss = ours(w, h, s)
            others = [("published pseudo-code", published)]
            if quantize_weight and (not s["group"] or s["static_groups"]):
                others.append(("llmcompressor", library))
            for who, other in others:
                theirs, their_loss = other(w, h, s)
                again, _ = other(w, noisy(h), s)
                gap, noise = moved(mine, theirs), moved(again, theirs)
                loss_gap = abs(my_loss / their_loss - 1)
                checks.check(f"{title}: {who}", gap <= 2 * noise + 1e-3 and loss_gap <= 2e-3,
                             f"{gap:.2%} of the weights differ ({noise:.2%} by noise alone), loss {my_loss:.6g} and {their_loss:.6g}")
        delta, zero = group_scales(w, base)
        rounded = (torch.clamp(torch.round(w / delta), -8, 7) * delta).double()
        best = output_error(w, ours(w, h, base)[0], h)
        checks.check(f"{name}: output error below rounding's", best < output_error(w, rounded, h),
                     f"{best / output_error(w, rounded, h):.3f} of it")
    checks.finish()


if __name__ == "__main__":
    main()
