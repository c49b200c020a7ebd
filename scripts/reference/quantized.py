#!/usr/bin/env python3
"""Quantized perplexities of SmolLM2 by an independent eager program: transformers' model, dense transforms, plain torch.

    scripts/reference.sh quantized          minutes a line, so only when named

Four windows of 2048 of WikiText-2 test; weights 4-bit per channel, symmetric, clip search; activations per token and caches
per head, asymmetric; the first 64 rows at 8 bits; Haar of 5 levels with the first token outside. Every setting is repeated
with relative noise on the quantizers' inputs: what that moves is rounding noise, and no two programs agree more closely.
"""
import math

import gguf_model
import llama_cpp
import numpy as np
import torch
import transformers

import common

TOKENS, HIGH_ROWS, WINDOWS, LEVELS = 2048, 64, 4, 5


def token_ids(text):
    vocabulary = llama_cpp.Llama(common.smollm2(), vocab_only=True, verbose=False)
    return vocabulary.tokenize(text.encode(), add_bos=False, special=False)


def evaluation_and_calibration():
    """Token ids of WikiText-2 test and of the beginning of its train split; None, and a line that says so, without them."""
    texts = [common.wikitext2(name) for name in ("wiki.test.raw", "wiki.train.head.raw")]
    if None in texts:
        print("skipped: WikiText-2 is not found ($STAMP_DATA)")
        return None
    return [token_ids(text) for text in texts]


def round_rows(x, bits):
    """Asymmetric min-max grid per row, integer zero point, zero inside the range."""
    steps = 2.0**bits - 1
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    step = (high - low) / steps
    step = torch.where(step == 0, torch.ones_like(step), step)
    zero = torch.round(-low / step)
    return step * (torch.clamp(torch.round(x / step) + zero, torch.zeros_like(steps), steps) - zero)


def round_weight(w, bits=4):
    """Symmetric per row; the range that minimises sum |error|^2.4 among 80."""
    top = 2 ** (bits - 1) - 1
    largest = w.abs().amax(1, keepdim=True).clamp(min=1e-5)
    best, out = torch.full((w.shape[0], 1), math.inf), w.clone()
    for i in range(80):
        step = largest * (1 - i / 100) / top
        candidate = step * torch.clamp(torch.round(w / step), -top - 1, top)
        error = (candidate - w).abs().pow(2.4).sum(1, keepdim=True)
        out = torch.where(error < best, candidate, out)
        best = torch.minimum(best, error)
    return out


def haar_behind_first(tokens):
    """Dense L = diag(1, Haar): an odd last row is carried into the approximation band."""
    rows, details = np.eye(tokens - 1), []
    for _ in range(LEVELS):
        pairs = len(rows) // 2
        left, right, rest = rows[0 : 2 * pairs : 2], rows[1 : 2 * pairs : 2], rows[2 * pairs :]
        details.insert(0, (left - right) / np.sqrt(2))
        rows = np.concatenate([(left + right) / np.sqrt(2), rest])
    matrix = np.eye(tokens)
    matrix[1:, 1:] = np.concatenate([rows] + details)
    return torch.tensor(matrix, dtype=torch.float32)


def haar_of_all(tokens):
    """The first token inside: dense Haar of as many levels."""
    return haar_behind_first(tokens + 1)[1:, 1:].contiguous()


class Quantizer:
    def __init__(self):
        self.transform, self.noise, self.on = None, 0.0, False
        self.bits = torch.full((TOKENS, 1), 4.0)
        self.bits[:HIGH_ROWS] = 8

    def __call__(self, x):
        if not self.on:
            return x
        if self.noise:
            x = x * (1 + self.noise * torch.randn_like(x))
        if self.transform is None:
            return round_rows(x, self.bits)
        return self.transform.t() @ round_rows(self.transform @ x, self.bits)


def linears(model):
    return [m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in name]


def attach(model, quantizer):
    for layer in linears(model):
        layer.register_forward_pre_hook(lambda _, args: (quantizer(args[0][0])[None],))

    def attention(module, query, key, value, mask, scaling=None, **_):
        key, value = (torch.stack([quantizer(head) for head in cache[0]])[None] for cache in (key, value))
        repeat = module.num_key_value_groups
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1), is_causal=True, scale=scaling)
        return out.transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register("quantized_caches", attention)
    model.set_attn_implementation("quantized_caches")


def smooth(model, ids, alpha=0.5):
    """SmoothQuant on the inputs that norms make, calibrated on the first windows of `ids`."""
    groups, maxima, hooks = [], {}, []
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        groups.append((layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)))
        groups.append((layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)))
    for g, (_, readers) in enumerate(groups):
        def see(_, args, g=g):
            maxima[g] = torch.maximum(maxima.get(g, torch.zeros(())), args[0][0].abs().amax(0))
        hooks.append(readers[0].register_forward_pre_hook(see))
    for w in range(WINDOWS):
        model.model(torch.tensor(ids[w * TOKENS : (w + 1) * TOKENS])[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    for g, (norm, readers) in enumerate(groups):
        weights = torch.stack([m.weight.abs().amax(0) for m in readers]).amax(0).clamp(min=1e-5)
        factors = (maxima[g] ** alpha / weights ** (1 - alpha)).clamp(min=1e-5)
        norm.weight.div_(factors)
        for m in readers:
            m.weight.mul_(factors)


def loss(model, ids, window):
    targets = torch.tensor(ids[window * TOKENS : (window + 1) * TOKENS])
    hidden = model.model(targets[None], use_cache=False).last_hidden_state[0]
    total = 0.0
    for start in range(0, TOKENS - 1, 512):
        logits = model.lm_head(hidden[start : min(start + 512, TOKENS - 1)]).double()
        total += torch.nn.functional.cross_entropy(logits, targets[start + 1 : start + 1 + len(logits)], reduction="sum").item()
    return total / (TOKENS - 1)


@torch.inference_mode()
def main():
    texts = evaluation_and_calibration()
    if texts is None:
        return
    ids, calibration = texts
    for method in ("rtn", "smoothquant"):
        model, quantizer = gguf_model.load(common.smollm2()), Quantizer()
        if method == "smoothquant":
            smooth(model, calibration)
        for layer in linears(model):
            layer.weight.copy_(round_weight(layer.weight))
        attach(model, quantizer)
        quantizer.on = True
        transforms = {"identity": None, "haar": haar_behind_first(TOKENS)}
        if method == "rtn":
            transforms["haar with the first token inside"] = haar_of_all(TOKENS)
        for transform, quantizer.transform in transforms.items():
            for noise in (0.0, 1e-6, 1e-5):
                torch.manual_seed(0)
                quantizer.noise = noise
                losses = [loss(model, ids, window) for window in range(WINDOWS)]
                print(f"W4A4KV4 {method}, {transform}, noise {noise:g}: perplexity {math.exp(sum(losses) / WINDOWS):.1f}, "
                      f"losses {' '.join(f'{value:.4f}' for value in losses)}", flush=True)


if __name__ == "__main__":
    main()
