#!/usr/bin/env python3
"""Perplexities of SmolLM2 with 4-bit activations whose channel means are taken off before rounding, by eager PyTorch.

    scripts/reference.sh shifted          minutes a line, so only when named

Four windows of 2048 of WikiText-2 test, activations alone (weights and caches in full precision), asymmetric per token, the
first row at 8 bits. Means are those of the first four windows of the training text without their first tokens, or those of
the window at hand. Then with Haar of 5 levels and 64 rows at 8 bits.
"""
import math

import gguf_model
import torch

import common
from quantized import HIGH_ROWS, TOKENS, WINDOWS, Quantizer, evaluation_and_calibration, haar_behind_first, linears, loss


class Shifting:
    def __init__(self, quantizer, model):
        self.quantizer, self.kind, self.measuring = quantizer, "none", False
        self.sums = {}
        for layer in linears(model):
            layer.register_forward_pre_hook(self.hook)

    def hook(self, layer, args):
        x = args[0][0]
        if self.measuring:
            self.sums[layer] = self.sums.get(layer, 0) + x[1:].double().sum(0)
            return None
        mean = torch.zeros(())
        if self.kind == "calibrated":
            mean = (self.sums[layer] / (WINDOWS * (TOKENS - 1))).float()
        elif self.kind == "sequence":
            mean = x[1:].mean(0)
        return ((self.quantizer(x - mean) + mean)[None],)


@torch.inference_mode()
def main():
    texts = evaluation_and_calibration()
    if texts is None:
        return
    ids, calibration = texts
    model, quantizer = gguf_model.load(common.smollm2()), Quantizer()
    shifting = Shifting(quantizer, model)
    shifting.measuring = True
    for window in range(WINDOWS):
        model.model(torch.tensor(calibration[window * TOKENS : (window + 1) * TOKENS])[None], use_cache=False)
    shifting.measuring = False
    quantizer.on = True
    for transform, high in (("identity", 1), ("haar", HIGH_ROWS)):
        quantizer.transform = haar_behind_first(TOKENS) if transform == "haar" else None
        quantizer.bits[:] = 4
        quantizer.bits[:high] = 8
        for shifting.kind in ("none", "calibrated", "sequence"):
            losses = [loss(model, ids, window) for window in range(WINDOWS)]
            print(f"W16A4KV16 rtn, {transform}, {high} rows at 8 bits, shift {shifting.kind}: perplexity "
                  f"{math.exp(sum(losses) / WINDOWS):.2f}, losses {' '.join(f'{value:.4f}' for value in losses)}", flush=True)


if __name__ == "__main__":
    main()
