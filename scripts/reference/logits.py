"""Logits and token losses of SmolLM2: ours against transformers in float32, on windows of WikiText-2 test.

    .venv-reference/bin/python scripts/reference/logits.py [--windows 1] [--tokens 512]

Tolerances: logits 2e-3, losses 1e-3, absolute; mean loss 1e-5. Needs the program model_dump ($STAMP_BUILD/bin).
"""
import argparse
import json
import os
import subprocess
import tempfile

import torch
from llama_cpp import Llama

import common
import gguf_model


def ours(ids, position):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ids.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(ids, file)
        out = subprocess.run([common.program("model_dump"), common.smollm2(), path, str(position)], check=True, capture_output=True).stdout
    answer = json.loads(out)
    return torch.tensor(answer["logits"]), torch.tensor(answer["losses"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    arguments = parser.parse_args()
    text = common.wikitext2_test()
    if text is None:
        raise SystemExit("WikiText-2 test is absent: set STAMP_DATA")
    # Enough text for the windows; a token is at most a few characters less than this on average.
    ids = Llama(common.smollm2(), vocab_only=True, verbose=False).tokenize(
        text[:arguments.windows * arguments.tokens * 12].encode(), add_bos=False, special=True)
    model = gguf_model.load(common.smollm2())
    checks = common.Checks("SmolLM2 in float32 against transformers")
    for window in range(arguments.windows):
        part = ids[window * arguments.tokens:(window + 1) * arguments.tokens]
        position = len(part) // 5
        with torch.inference_mode():
            logits = model(torch.tensor([part]), use_cache=False).logits[0]
            # In double: float32 cross entropy over 49152 classes comes out 8e-6 too small on average.
            losses = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(part[1:]), reduction="none")
        our_logits, our_losses = ours(part, position)
        logit_gap = (our_logits - logits[position]).abs().max().item()
        loss_gap = (our_losses - losses).abs().max().item()
        mean_gap = abs(our_losses.double().mean().item() - losses.double().mean().item())
        checks.check(f"window {window}, {len(part)} tokens", logit_gap <= 2e-3 and loss_gap <= 1e-3 and mean_gap <= 1e-5,
                     f"logits {logit_gap:.1e}, losses {loss_gap:.1e}, mean loss {mean_gap:.1e}")
    checks.finish()


if __name__ == "__main__":
    main()
