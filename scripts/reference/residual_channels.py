"""How much of a normed residual row lies in its largest channel, and what the norm's weight makes of that channel.

    .venv-reference/bin/python scripts/reference/residual_channels.py

A rotated residual stream (QuaRot, SpinQuant) has the norm's weight folded into the layers behind it and the channel spread
over all coordinates. Where the weight would have silenced the channel, rounding is relative to what the model ignores.
Ids: the first 512 of WikiText-2 test as ../shared/fixtures/real_models_golden.json has them.
"""
import json
import os

import torch

import common
import gguf_model

GOLDEN = os.path.join(common.REPOSITORY, "..", "shared", "fixtures", "real_models_golden.json")


def main():
    if not os.path.exists(GOLDEN):
        raise SystemExit(f"{GOLDEN} is absent")
    with open(GOLDEN, encoding="utf-8") as file:
        golden = json.load(file)
    for name, path in common.real_models():
        model = gguf_model.load(path)
        gemma = name.startswith("Gemma")
        rows = []

        def observe(norm, inputs, _):
            x = inputs[0][0, 1:].double()  # behind the first token, whose rows are unlike all others
            energy = (x / x.pow(2).mean(-1, keepdim=True).sqrt()).pow(2).mean(0)
            weight = norm.weight.double() + (1 if gemma else 0)
            top = energy.argmax()
            # Mean square behind the weight over that of a weight as large everywhere: 1 where no channel stands out.
            kept = (energy * weight.pow(2)).sum() / (energy.sum() * weight.pow(2).mean())
            rows.append((energy.max() / energy.sum(), weight[top].abs() / weight.abs().median(), kept))

        for layer, norm in model.named_modules():
            if layer.endswith(("input_layernorm", "pre_feedforward_layernorm")) or layer == "model.norm" or \
                    (not gemma and layer.endswith("post_attention_layernorm")):
                norm.register_forward_hook(observe)
        ids = golden["gemma" if gemma else "smol"]["ids_window0"][:512]
        with torch.inference_mode():
            model(torch.tensor([ids]), use_cache=False)
        share, relative, kept = (torch.tensor([float(row[i]) for row in rows]) for i in range(3))
        print(f"{name}, {len(rows)} norms, medians: {share.median():.2f} of a row's energy in one channel, whose weight is "
              f"{relative.median():.3f} of the median weight; signal behind the norm {kept.median():.4f} of an even one's "
              f"({-10 * kept.median().log10():.0f} dB less)")


if __name__ == "__main__":
    main()
