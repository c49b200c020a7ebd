"""Zero-shot log-likelihoods of SmolLM2: ours against transformers in float32, and our prompts, accuracies and standard
errors against lm-evaluation-harness where that is installed (pip install lm_eval datasets).

    .venv-reference/bin/python scripts/reference/zero_shot.py [--items 100] [--tasks piqa,hellaswag] [--threads 2]

* Token ids: llama.cpp's tokenizer on the prompts that our program prints, by the harness's rule.
* Log-likelihoods: transformers runs every context with every candidate as one whole sequence; log-softmax in double.
  Tolerance 1e-3 absolute, per candidate.
* lm-evaluation-harness makes its prompts from the same items with its own templates. Its model is a table of
  transformers' values with (context, continuation) as key, so that a prompt which differs in one character fails.
  acc, acc_norm and their standard errors: equal to 1e-9.

hellaswag's text file has no ctx_a and ctx_b; the harness gets the context as ctx_a, so that its cleaning is compared and
its capitalisation of ctx_b is not. Needs the program task_dump ($STAMP_BUILD/bin).
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

TASKS = ["piqa", "hellaswag", "arc_easy", "arc_challenge", "winogrande", "lambada", "boolq", "openbookqa"]
HARNESS_NAMES = {"lambada": "lambada_openai"}


def ours(task, items):
    command = [common.program("task_dump"), common.smollm2(), str(items), "leak_free", "2048", task]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def candidates_of(prompt):
    """(context, continuation) of every candidate, as the harness would ask for it."""
    contexts, continuations = prompt["contexts"], prompt["continuations"]
    count = max(len(contexts), len(continuations))
    return [(contexts[min(c, len(contexts) - 1)], continuations[min(c, len(continuations) - 1)]) for c in range(count)]


def encoded(tokenizer, context, continuation):
    """lm-evaluation-harness, TemplateLM._encode_pair, without BOS."""
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation, context = context[-spaces:] + continuation, context[:-spaces]
    encode = lambda text: tokenizer.tokenize(text.encode(), add_bos=False, special=False)
    before = encode(context)
    return before, encode(context + continuation)[len(before):]


@torch.inference_mode()
def scores(model, pairs):
    """Sum of log-probabilities and whether all tokens are the likeliest, for every (context ids, continuation ids)."""
    results = []
    for first in range(0, len(pairs), 8):
        part = pairs[first:first + 8]
        rows = [context + tail[:-1] for context, tail in part]
        longest = max(map(len, rows))
        # Padding behind the text is never seen by what is scored: the model is causal.
        hidden = model.model(torch.tensor([row + [0] * (longest - len(row)) for row in rows]), use_cache=False).last_hidden_state
        for row, (context, tail) in zip(hidden, part):
            logits = model.lm_head(row[len(context) - 1:len(context) - 1 + len(tail)])
            chosen = torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(tail)[:, None])
            results.append((chosen.sum().item(), bool((logits.argmax(-1) == torch.tensor(tail)).all())))
    return results


def accuracies(task, prompts, values):
    """acc and acc_norm from our rule on given values, with standard errors."""
    acc, norm, at = [], [], 0
    for prompt in prompts:
        own = values[at:at + len(candidates_of(prompt))]
        at += len(own)
        best = lambda numbers: max(range(len(numbers)), key=lambda i: (numbers[i], -i))
        acc.append(own[0][1] if task == "lambada" else best([v for v, _ in own]) == prompt["gold"])
        if prompt["characters"]:
            norm.append(best([v / n for (v, _), n in zip(own, prompt["characters"])]) == prompt["gold"])
    def summary(flags):
        p, n = sum(flags) / len(flags), len(flags)
        return p, (p * (1 - p) / (n - 1)) ** 0.5
    return {"acc": summary(acc)} | ({"acc_norm": summary(norm)} if norm else {})


def document(task, prompt):
    """The item as the harness's data set would hold it."""
    gold, contexts, choices = prompt["gold"], prompt["contexts"], [c[1:] for c in prompt["continuations"]]
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    if task == "piqa":
        return {"goal": contexts[0].removeprefix("Question: ").removesuffix("\nAnswer:"), "sol1": choices[0], "sol2": choices[1], "label": gold}
    if task == "hellaswag":
        label, _, rest = contexts[0].partition(": ")
        return {"activity_label": label, "ctx_a": rest, "ctx_b": "", "endings": choices, "label": str(gold)}
    if task in ("arc_easy", "arc_challenge"):
        return {"question": contexts[0].removeprefix("Question: ").removesuffix("\nAnswer:"),
                "choices": {"text": choices, "label": letters}, "answerKey": letters[gold]}
    if task == "winogrande":
        start = os.path.commonprefix(contexts)
        return {"sentence": start + "_ " + choices[0], "option1": contexts[0][len(start):], "option2": contexts[1][len(start):],
                "answer": str(gold + 1)}
    if task == "lambada":
        return {"text": contexts[0] + prompt["continuations"][0]}
    if task == "boolq":
        passage, _, question = contexts[0].removesuffix("?\nAnswer:").rpartition("\nQuestion: ")
        return {"passage": passage, "question": question, "label": gold, "idx": 0}
    return {"question_stem": contexts[0], "choices": {"text": choices, "label": letters}, "answerKey": letters[gold]}


def harness_results(task, prompts, table):
    """acc, acc_norm and their standard errors as lm-evaluation-harness computes them; its model looks values up."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import lm_eval
    from lm_eval.api.model import LM

    class Table(LM):
        def loglikelihood(self, requests, disable_tqdm=False):
            missing = [r.args for r in requests if r.args not in table]
            if missing:
                raise SystemExit(f"{task}: {len(missing)} prompts of the harness are not ours, the first: {missing[0]!r}")
            return [table[r.args] for r in requests]

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            raise NotImplementedError

        def generate_until(self, requests, disable_tqdm=False):
            raise NotImplementedError

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "items.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for prompt in prompts:
                file.write(json.dumps(document(task, prompt)) + "\n")
        name = HARNESS_NAMES.get(task, task)
        splits = dict.fromkeys(("train", "validation", "test"), path)
        config = {"task": name, "dataset_path": "json", "dataset_name": None,
                  "dataset_kwargs": {"data_files": splits, "cache_dir": folder}}
        out = lm_eval.simple_evaluate(model=Table(), tasks=[{"group": "local", "task": [config]}], num_fewshot=0, bootstrap_iters=1000)
        result = next(r for r in out["results"].values() if "acc,none" in r)
    return {m: (result[m + ",none"], result[m + "_stderr,none"]) for m in ("acc", "acc_norm") if m + ",none" in result}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    try:
        import lm_eval  # noqa: F401
        harness = True
    except ImportError:
        harness = False
        print("lm_eval is not installed: its prompts and accuracies are left out")
    tokenizer = Llama(common.smollm2(), vocab_only=True, verbose=False)
    model = gguf_model.load(common.smollm2())
    checks = common.Checks(f"SmolLM2, {arguments.items} items a task, float32")
    for task in arguments.tasks.split(","):
        dump = ours(task, arguments.items)
        prompts = dump["prompts"]
        asked = [pair for prompt in prompts for pair in candidates_of(prompt)]
        pairs = [encoded(tokenizer, *pair) for pair in asked]
        own = [c for item in dump["items"] for c in item["candidates"]]
        same = sum((c["context"], c["ids"]) == pair for c, pair in zip(own, pairs))
        checks.check(f"{task}: token ids", len(own) == len(pairs) == same, f"{same} of {len(pairs)} candidates")
        theirs = scores(model, pairs)
        gap = max(abs(c["loglik"] - value) for c, (value, _) in zip(own, theirs))
        greedy = sum(c["greedy"] == flag for c, (_, flag) in zip(own, theirs))
        checks.check(f"{task}: log-likelihoods", gap <= 1e-3 and greedy == len(own), f"largest difference {gap:.1e} over {len(own)} candidates")
        mine = accuracies(task, prompts, [(c["loglik"], c["greedy"]) for c in own])
        reference = harness_results(task, prompts, dict(zip(asked, theirs))) if harness else accuracies(task, prompts, theirs)
        names = [m for m in mine if m in reference]
        close = all(abs(a - b) <= 1e-9 for m in names for a, b in zip(mine[m], reference[m]))
        checks.check(f"{task}: accuracy{' as lm-evaluation-harness has it' if harness else ''}", bool(names) and close,
                     ", ".join(f"{m} {mine[m][0]:.4f} +- {mine[m][1]:.4f}" for m in names))
    checks.finish()


if __name__ == "__main__":
    main()
