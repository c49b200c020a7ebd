"""Logits and token losses of SmolLM2 and Gemma 3 270M: ours against transformers in float32, on windows of WikiText-2 test.

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


def ours(path, ids, position):
    with tempfile.TemporaryDirectory() as folder:
        file_name = os.path.join(folder, "ids.json")
        with open(file_name, "w", encoding="ascii") as file:
            json.dump(ids, file)
        out = subprocess.run([common.program("model_dump"), path, file_name, str(position)], check=True, capture_output=True).stdout
    answer = json.loads(out)
    return torch.tensor(answer["logits"]), torch.tensor(answer["losses"])


def compare(checks, name, path, text, windows, tokens):
    # Enough text for the windows; a token is at most a few characters less than this on average.
    ids = Llama(path, vocab_only=True, verbose=False).tokenize(text[:windows * tokens * 12].encode(), add_bos=name.startswith("Gemma"),
                                                               special=True)
    model = gguf_model.load(path)
    for window in range(windows):
        part = ids[window * tokens:(window + 1) * tokens]
        position = len(part) // 5
        with torch.inference_mode():
            logits = model(torch.tensor([part]), use_cache=False).logits[0]
            # In double: float32 cross entropy over 49152 classes comes out 8e-6 too small on average.
            losses = torch.cat([torch.nn.functional.cross_entropy(logits[i:i + 128].double()[:len(part) - 1 - i], torch.tensor(part[i + 1:i + 129]),
                                                                  reduction="none") for i in range(0, len(part) - 1, 128)])
        our_logits, our_losses = ours(path, part, position)
        logit_gap = (our_logits - logits[position]).abs().max().item()
        loss_gap = (our_losses - losses).abs().max().item()
        mean_gap = abs(our_losses.double().mean().item() - losses.double().mean().item())
        checks.check(f"{name}, window {window}, {len(part)} tokens", logit_gap <= 2e-3 and loss_gap <= 1e-3 and mean_gap <= 1e-5,
                     f"logits {logit_gap:.1e}, losses {loss_gap:.1e}, mean loss {mean_gap:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    arguments = parser.parse_args()
    text = common.wikitext2_test()
    if text is None:
        raise SystemExit("WikiText-2 test is absent: set STAMP_DATA")
    checks = common.Checks("The real models in float32 against transformers")
    for name, path in common.real_models():
        compare(checks, name, path, text, arguments.windows, arguments.tokens)
    checks.finish()


if __name__ == "__main__":
    main()
