"""Greedy continuations and sampling probabilities by transformers, held against the stored ones in tests/golden/generate.json.

    scripts/reference.sh generate                                        are the stored answers what transformers gives?
    .venv-reference/bin/python scripts/reference/generate.py --write     makes them anew

SmolLM2 (dequantized, float32) continues four prompts by 48 tokens, every tiny fixture of ../shared/fixtures continues two
prompts by 60 tokens, past its sliding windows. `margin` is the least difference between the best and the second logit of a
continuation: float32 programs differ by 1e-4 there, so a smaller margin would make the comparison one of rounding.
"""
import argparse
import json
import os
import warnings

import safetensors
import torch
import transformers
from llama_cpp import Llama

import common
import gguf_model

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "generate.json")
FIXTURES = ["llama_tiny_llama3rope", "llama_tiny_untied_bias", "mistral_tiny_window5", "qwen2_tiny", "qwen2_tiny_window", "qwen3_tiny", "gemma2_tiny"]
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Water boils at a temperature of",
    "In 1905, Albert Einstein published four papers. The first of them",
]


def fixture(name):
    """The fixture as a transformers model in float32, and its input ids."""
    path = os.path.join(common.REPOSITORY, "..", "shared", "fixtures", name + ".safetensors")
    with safetensors.safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    rope = dict(settings.pop("rope_scaling", None) or {"rope_type": "default"}, rope_theta=settings.pop("rope_theta"))
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), rope_parameters=rope, attn_implementation="eager",
                                               bos_token_id=None, eos_token_id=None, pad_token_id=None, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = {key: value for key, value in tensors.items() if not key.startswith(("in.", "out."))}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"{name}: tensors do not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    model.eval()
    with torch.inference_mode():
        gap = (model(tensors["in.ids"], use_cache=False).logits - tensors["out.logits"]).abs().max().item()
    if gap > 1e-3:
        raise SystemExit(f"{name}: transformers' logits are {gap} away from the fixture's")
    return model, tensors["in.ids"]


def continue_greedily(model, ids, count):
    """`count` new ids with transformers' own generation loop and cache, and the least margin on the way."""
    with torch.inference_mode():
        # The mask is given: generate() would guess it from the padding id, which is a token like any other here.
        out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=count, do_sample=False,
                             use_cache=True, eos_token_id=None, pad_token_id=0, output_logits=True, return_dict_in_generate=True)
        best = torch.stack([logits[0] for logits in out.logits]).topk(2).values
    return {"prompt": ids, "ids": out.sequences[0, len(ids):].tolist(), "margin": (best[:, 0] - best[:, 1]).min().item()}


def sampling_cases():
    """What transformers' warpers leave of one row of logits: probabilities after temperature, top-k and top-p, in that order."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(1, 24, generator=generator) * 3
    cases = []
    for temperature, top_k, top_p in [(1.0, 0, 1.0), (0.7, 0, 1.0), (1.0, 5, 1.0), (1.0, 0, 0.9), (1.5, 10, 0.8), (0.6, 3, 0.2), (2.0, 24, 0.99)]:
        scores = logits / 1.0
        for warper in [transformers.TemperatureLogitsWarper(temperature)] + ([transformers.TopKLogitsWarper(top_k)] if top_k else []) + (
                [transformers.TopPLogitsWarper(top_p)] if top_p < 1 else []):
            scores = warper(None, scores)
        cases.append({"temperature": temperature, "top_k": top_k, "top_p": top_p, "probabilities": torch.softmax(scores[0].double(), -1).tolist()})
    return {"logits": logits[0].tolist(), "cases": cases}


def answers():
    vocabulary = Llama(common.smollm2(), vocab_only=True, verbose=False)
    model = gguf_model.load(common.smollm2())
    out = {"transformers": transformers.__version__, "smollm2": [], "fixtures": {}, "sampling": sampling_cases()}
    for prompt in PROMPTS:
        ids = vocabulary.tokenize(prompt.encode(), add_bos=False, special=True)
        out["smollm2"].append(dict(text=prompt, **continue_greedily(model, ids, 48)))
    for name in FIXTURES:
        tiny, inputs = fixture(name)
        out["fixtures"][name] = [continue_greedily(tiny, row.tolist(), 60) for row in inputs]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    ours = answers()
    if arguments.write:
        with open(GOLDEN, "w", encoding="utf-8") as file:
            json.dump(ours, file, indent=None, separators=(",", ":"))
            file.write("\n")
    with open(GOLDEN, encoding="utf-8") as file:
        stored = json.load(file)
    checks = common.Checks("Greedy continuations of transformers, stored and now")
    pairs = [("SmolLM2", stored["smollm2"], ours["smollm2"])] + [(n, stored["fixtures"][n], ours["fixtures"][n]) for n in FIXTURES]
    for name, old, new in pairs:
        same = len(old) == len(new) and all(a["ids"] == b["ids"] and a["prompt"] == b["prompt"] for a, b in zip(old, new))
        checks.check(name, same, f"{len(new)} continuations of {len(new[0]['ids'])} tokens, least margin {min(c['margin'] for c in new):.1e}")
    gap = max(abs(p - q) for a, b in zip(stored["sampling"]["cases"], ours["sampling"]["cases"]) for p, q in zip(a["probabilities"], b["probabilities"]))
    checks.check("sampling probabilities", gap < 1e-12, f"largest difference {gap:.1e}")
    checks.finish()


if __name__ == "__main__":
    main()
