#!/usr/bin/env python3
"""GPTQ of the first blocks of a GGUF model in eager PyTorch, float32: the other side of tests/bench/bench_gptq.cpp.

    .venv-reference/bin/python scripts/bench_gptq.py MODEL.gguf [--schedule staged|published] [--blocks 3] [--items 16]
        [--tokens 2048] [--threads 2] [--plain]

published: as the reference codes do it. For each set (q k v, o, gate up, down) the transformers block runs on all items with
hooks, every weight has its own Hessian and factor; the block runs once more at the end. staged: the block is written out, so
that one pass stops at every site, and weights that share an input share Hessian and factor.
Both: blocks of 128 columns, clip search of 80 candidates, symmetric 4 bits per channel, damping 0.01.
Prints seconds (by the clock and of all threads) and the error of the rows behind the last block, relative to full precision.
"""
import argparse
import os
import sys
import time

import torch
from torch.nn import functional
from transformers.models.llama import modeling_llama

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference"))
import gguf_model  # noqa: E402

BLOCK, TOP = 128, 7


def clip_search(w):
    """Step of every row: the shrunk range with the smallest sum |error|^2.4."""
    largest = w.abs().amax(1, keepdim=True).clamp(min=1e-5)
    best, step = torch.full_like(largest, torch.inf), largest / TOP
    for i in range(80):
        candidate = largest * (1 - i / 100) / TOP
        error = (torch.clamp(torch.round(w / candidate), -TOP - 1, TOP) * candidate - w).abs_().pow_(2.4).sum(1, keepdim=True)
        better = error < best
        best, step = torch.where(better, error, best), torch.where(better, candidate, step)
    return step


def factor(h):
    h.diagonal().add_(0.01 * h.diagonal().mean())
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)


def quantize(w, u):
    step = clip_search(w)[:, 0]
    w = w.clone()
    out = torch.empty_like(w)
    for begin in range(0, w.shape[1], BLOCK):
        end = min(begin + BLOCK, w.shape[1])
        part, errors, inner = w[:, begin:end].clone(), torch.empty(w.shape[0], end - begin), u[begin:end, begin:end]
        for j in range(end - begin):
            column = part[:, j]
            q = torch.clamp(torch.round(column / step), -TOP - 1, TOP) * step
            error = (column - q) / inner[j, j]
            part[:, j:] -= error.unsqueeze(1) * inner[j, j:]
            out[:, begin + j] = q
            errors[:, j] = error
        w[:, end:] -= errors @ u[begin:end, end:]
    return out


class Hessian:
    def __init__(self):
        self.sum, self.items = None, 0

    def add(self, x):
        if self.sum is None:
            self.sum = torch.zeros(x.shape[1], x.shape[1])
        self.sum.mul_(self.items / (self.items + 1))
        self.items += 1
        x = x * (2 / self.items) ** 0.5
        self.sum.addmm_(x.t(), x)


def sets_of(layer):
    a, m = layer.self_attn, layer.mlp
    return [(a.q_proj, a.k_proj, a.v_proj), (a.o_proj,), (m.up_proj, m.gate_proj), (m.down_proj,)]


def published(layer, rows, position):
    """One true-sequential block as in the reference codes. rows: list of 1 x s x h, replaced by what the block gives."""
    for readers in sets_of(layer):
        hessians, hooks = {}, []
        for reader in readers:
            hessians[reader] = Hessian()
            hooks.append(reader.register_forward_hook(lambda module, args, _: hessians[module].add(args[0][0])))
        for x in rows:
            layer(x, position_embeddings=position, attention_mask=None)
        for hook in hooks:
            hook.remove()
        for reader in readers:
            reader.weight.copy_(quantize(reader.weight, factor(hessians[reader].sum)))
    for i, x in enumerate(rows):
        out = layer(x, position_embeddings=position, attention_mask=None)
        rows[i] = out[0] if isinstance(out, tuple) else out


def attend(layer, x, position):
    a = layer.self_attn
    split = lambda y: y.view(*y.shape[:2], -1, a.head_dim).transpose(1, 2)
    q, k, v = split(a.q_proj(x)), split(a.k_proj(x)), split(a.v_proj(x))
    q, k = modeling_llama.apply_rotary_pos_emb(q, k, *position)
    k, v = modeling_llama.repeat_kv(k, a.num_key_value_groups), modeling_llama.repeat_kv(v, a.num_key_value_groups)
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


def staged(layer, rows, position):
    """The same in one pass: `inner` holds what the next set reads."""
    def finish(readers, inner):
        hessian = Hessian()
        for x in inner:
            hessian.add(x[0])
        u = factor(hessian.sum)
        for reader in readers:
            reader.weight.copy_(quantize(reader.weight, u))

    sets, mlp = sets_of(layer), layer.mlp
    inner = [layer.input_layernorm(x) for x in rows]
    finish(sets[0], inner)
    inner = [attend(layer, x, position) for x in inner]
    finish(sets[1], inner)
    for i, x in enumerate(inner):
        rows[i] = rows[i] + layer.self_attn.o_proj(x)
    inner = [layer.post_attention_layernorm(x) for x in rows]
    finish(sets[2], inner)
    inner = [mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x) for x in inner]
    finish(sets[3], inner)
    for i, x in enumerate(inner):
        rows[i] = rows[i] + mlp.down_proj(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--schedule", choices=("staged", "published"), default="staged")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plain", action="store_true", help="three numbers only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = gguf_model.load(arguments.model)
    model.set_attn_implementation("sdpa")  # causal without a mask, which "eager" is not, and as fast as transformers gets
    model = model.model
    layers = model.layers[: arguments.blocks]
    with torch.inference_mode():
        ids = (torch.arange(arguments.tokens) * 7919 + torch.arange(arguments.items)[:, None] * 104729 + 1116) % 49152
        rows = [model.embed_tokens(row[None]) for row in ids]
        position = model.rotary_emb(rows[0], torch.arange(arguments.tokens)[None])
        full = []
        for x in rows:
            for layer in layers:
                out = layer(x, position_embeddings=position, attention_mask=None)
                x = out[0] if isinstance(out, tuple) else out
            full.append(x)
        start, processor = time.perf_counter(), time.process_time()
        for layer in layers:
            (staged if arguments.schedule == "staged" else published)(layer, rows, position)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        error = sum((a.double() - b.double()).square().sum().item() for a, b in zip(rows, full))
        error /= sum(b.double().square().sum().item() for b in full)
    if arguments.plain:
        print(f"{seconds:.3f} {processor:.3f} {error:.8f}")
    else:
        print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.schedule}: {seconds:.1f} s for {arguments.blocks} "
              f"blocks ({processor:.1f} of all threads); relative error of the rows behind them {error:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
