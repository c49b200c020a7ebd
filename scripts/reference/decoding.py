#!/usr/bin/env python3
"""decode_perplexity of SmolLM2 by an independent eager program: transformers' model fed one token at a time, caches as lists
of rows, dense transforms, plain torch.

    scripts/reference.sh decoding           minutes, so only when named

Two windows of 256 of WikiText-2 test, the first 128 tokens of each the prompt. Chunks of 32 rows; Haar of 3 levels, the first
token of a sequence outside, 16 rows of the prompt and 4 of a chunk at 8 bits (A); the first 16 positions at 8 bits (B). Weights
4 bits per channel with clip search where they are quantized. A level that falls the other way moves a loss by more than float32
does, so every setting is repeated with relative noise of 1e-6 on what is quantized, weights included (those of a 4-bit file lie
on ties), five times where weights are quantized: the tolerance is three times what that moves, and at least 2e-4.

At 4-bit activations noise moves a window by half a nat and more, so that W4A4KV4 alone would hide a mistake. W4A8KV4 is the same
program with calmer activations, where noise moves 0.1, and W4 has weights alone, where it moves 0.006.
"""
import json
import os
import subprocess
import tempfile

import numpy as np
import torch
import transformers

import common
import gguf_model
from quantized import linears, round_rows, round_weight, token_ids

CONTEXT, PROMPT, WINDOWS, CHUNK, LEVELS, PROMPT_HIGH, CHUNK_HIGH, POSITIONS_HIGH = 256, 128, 2, 32, 3, 16, 4, 16


def haar(tokens, skip):
    """Dense diag(I, Haar): an odd last row is carried into the approximation band."""
    rows, details = np.eye(tokens - skip), []
    for _ in range(LEVELS):
        pairs = len(rows) // 2
        left, right, rest = rows[0 : 2 * pairs : 2], rows[1 : 2 * pairs : 2], rows[2 * pairs :]
        details.insert(0, (left - right) / np.sqrt(2))
        rows = np.concatenate([(left + right) / np.sqrt(2), rest])
    matrix = np.eye(tokens)
    matrix[skip:, skip:] = np.concatenate([rows] + details)
    return torch.tensor(matrix, dtype=torch.float32)


def row_bits(rows, high, low=4):
    bits = torch.full((rows, 1), float(low))
    bits[:high] = 8
    return bits


class Decoder:
    """transformers' model; activations and caches go through this object."""

    def __init__(self, model, settings, noise):
        self.model, self.settings, self.noise, self.caches = model, settings, noise, {}
        for layer in linears(model):
            if settings["weights"] < 16:
                layer.weight.copy_(round_weight(self.noisy(layer.weight)))
            layer.register_forward_pre_hook(lambda _, args: (self.activation(args[0][0])[None],))
        transformers.AttentionInterface.register("chunked_caches", lambda module, *args, **named: self.attention(module, *args, **named))
        model.set_attn_implementation("chunked_caches")

    def noisy(self, x):
        return x * (1 + self.noise * torch.randn_like(x)) if self.noise else x

    def activation(self, x):
        if self.settings["activations"] == 16:
            return x
        if self.prompt:
            l = haar(len(x), 1)
            return l.t() @ round_rows(l @ self.noisy(x), row_bits(len(x), PROMPT_HIGH, self.settings["activations"]))
        return round_rows(self.noisy(x), row_bits(len(x), 0, self.settings["activations"]))

    def close(self, chunk, index):
        """chunk: heads x rows x hd."""
        if self.settings["transformed"]:
            l = haar(CHUNK, 1 if index == 0 else 0)
            return torch.stack([l.t() @ round_rows(l @ self.noisy(head), row_bits(CHUNK, CHUNK_HIGH)) for head in chunk])
        high = min(max(POSITIONS_HIGH - index * CHUNK, 0), CHUNK)
        return torch.stack([round_rows(self.noisy(head), row_bits(CHUNK, high)) for head in chunk])

    def attention(self, module, query, key, value, mask, scaling=None, **_):
        """Row by row: append, look back, close the chunk when it is full. Nothing is shared with how others do it."""
        cache = self.caches.setdefault(module.layer_idx, [torch.zeros(key.shape[1], 0, key.shape[3])] * 2)
        repeat, outputs = module.num_key_value_groups, []
        for row in range(query.shape[2]):
            for side, fresh in enumerate((key, value)):
                cache[side] = torch.cat([cache[side], fresh[0, :, row : row + 1]], dim=1)
            k, v = (side.repeat_interleave(repeat, 0) for side in cache)
            scores = (query[0, :, row : row + 1] @ k.transpose(1, 2)) * scaling
            outputs.append((torch.softmax(scores, -1) @ v)[:, 0])
            rows = cache[0].shape[1]
            if rows % CHUNK == 0 and self.settings["cache"] < 16:
                for side in range(2):
                    closed = self.close(cache[side][:, rows - CHUNK :], rows // CHUNK - 1)
                    cache[side] = torch.cat([cache[side][:, : rows - CHUNK], closed], dim=1)
        return torch.stack(outputs)[None], None

    def logits(self, ids, first):
        positions = torch.arange(first, first + len(ids))[None]
        return self.model(torch.tensor([ids]), position_ids=positions, use_cache=False).logits[0, -1]

    def loss(self, ids):
        self.caches, self.prompt, total = {}, True, 0.0
        logits = self.logits(ids[:PROMPT], 0)
        self.prompt = False
        for position in range(PROMPT, CONTEXT):
            total -= torch.log_softmax(logits.double(), -1)[ids[position]].item()
            if position + 1 < CONTEXT:
                logits = self.logits(ids[position : position + 1], position)
        return total / (CONTEXT - PROMPT)


SETTINGS = {
    "fp": {"weights": 16, "activations": 16, "cache": 16, "transformed": True},
    "KV4, option A": {"weights": 16, "activations": 16, "cache": 4, "transformed": True},
    "KV4, option B": {"weights": 16, "activations": 16, "cache": 4, "transformed": False},
    "W4": {"weights": 4, "activations": 16, "cache": 16, "transformed": True},
    "W4A8KV4, option A": {"weights": 4, "activations": 8, "cache": 4, "transformed": True},
    "W4A4KV4, option A": {"weights": 4, "activations": 4, "cache": 4, "transformed": True},
}


def ours(settings, folder, name):
    text = f"""schema: 1
name: {name}
model: {{path: {json.dumps(common.smollm2())}}}
data: {{text: wikitext2-test, context: {CONTEXT}, windows: {WINDOWS}}}
quantization:
  method: rtn
  weights: {{bits: {settings['weights']}}}
  activations: {{bits: {settings['activations']}}}
  kv_cache: {{bits: {settings['cache']}, transformed: {json.dumps(settings['transformed'])}}}
  sequence: {{transform: haar, levels: {LEVELS}, skip_first: 1}}
  allocation: {{kind: two_level, high_bits: 8, high_tokens: {PROMPT_HIGH}, pick: first}}
decode: {{prefill: {PROMPT}, chunk: {CHUNK}, high_tokens: {CHUNK_HIGH}}}
evaluate: [decode_perplexity]
"""
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    out = os.path.join(folder, name)
    subprocess.run([common.program("stamp"), "run", path, "--output", out], check=True, capture_output=True)
    with open(os.path.join(out, "records.jsonl"), encoding="utf-8") as file:
        record = json.loads(file.readlines()[-1])
    return next(m["items"] for m in record["metrics"] if m["name"] == "decode_nll")


@torch.inference_mode()
def main():
    text = common.wikitext2_test()
    if text is None:
        print("skipped: WikiText-2 is not found ($STAMP_DATA)")
        return
    ids = token_ids(text[: WINDOWS * CONTEXT * 12])
    checks = common.Checks("decode_nll of SmolLM2 against an eager program, one token at a time")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, settings) in enumerate(SETTINGS.items()):
            theirs = []
            for seed in range(6 if settings["weights"] < 16 else 2):  # 0: no noise
                torch.manual_seed(seed)
                decoder = Decoder(gguf_model.load(common.smollm2()), settings, 1e-6 if seed else 0.0)
                theirs.append([decoder.loss(ids[w * CONTEXT : (w + 1) * CONTEXT]) for w in range(WINDOWS)])
            moved = max(abs(a - b) for noisy in theirs[1:] for a, b in zip(theirs[0], noisy))
            mine = ours(settings, folder, f"setting{number}")
            gap = max(abs(a - b) for a, b in zip(mine, theirs[0]))
            spans = " ".join(f"{min(losses):.4f}..{max(losses):.4f}" for losses in zip(*theirs))
            checks.check(name, gap <= max(3 * moved, 2e-4), f"losses {' '.join(f'{x:.4f}' for x in mine)}, theirs "
                         f"{' '.join(f'{x:.4f}' for x in theirs[0])}, with noise of 1e-6 {spans}; gap {gap:.1e}, noise moves {moved:.1e}")
    checks.finish()


if __name__ == "__main__":
    main()
