"""Zero-shot log-likelihoods of SmolLM2: ours against transformers in float32, and our prompts, accuracies and standard
errors against lm-evaluation-harness where that is installed (pip install lm_eval==0.4.13 datasets).

    .venv-reference/bin/python scripts/reference/zero_shot.py [--items 100] [--tasks piqa,hellaswag] [--threads 2]
                                                              [--record-only]

* Token ids: llama.cpp's tokenizer on the prompts that task_dump prints, by the harness's rule.
* Log-likelihoods: transformers runs every context with every candidate as one whole sequence; log-softmax in double.
  Tolerance 1e-3 absolute, per candidate.
* lm-evaluation-harness makes its prompts with its own templates from the data files, which this script reads itself: they
  are task_dump's character by character. Its model answers with transformers' values. acc, acc_norm and their standard
  errors: equal to 1e-9.
* The record of `stamp run` at 16 bits: the same acc, acc_norm and standard errors, and the loss of every item's right
  candidate (1e-3; records round it to 1e-4).

--record-only leaves task_dump out, for a build that has only stamp and stamp-worker; it needs lm_eval. hellaswag's text file
has no ctx_a and ctx_b; the harness gets the context as ctx_a, so that its cleaning is compared and its capitalisation of
ctx_b is not. A task whose file is absent is named and left out.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile

import torch
from llama_cpp import Llama

import common
import gguf_model

TASKS = ["piqa", "hellaswag", "arc_easy", "arc_challenge", "winogrande", "lambada", "boolq", "openbookqa"]
HARNESS_NAMES = {"lambada": "lambada_openai"}
FILES = {"piqa": "piqa/valid.jsonl", "hellaswag": "hellaswag/hellaswag_val_full.txt", "arc_easy": "arc/ARC-Easy-Test.jsonl",
         "arc_challenge": "arc/ARC-Challenge-Test.jsonl", "winogrande": "winogrande/winogrande_dev.jsonl",
         "lambada": "lambada/lambada_test.jsonl", "boolq": "boolq/val.jsonl", "openbookqa": "openbookqa/test.tsv"}
TOLERANCE = 1e-3
RECORDED = 5e-5  # what a record's four digits may add


def data_file(name):
    """Where the programs look too; None when it is absent."""
    folders = [os.environ.get("STAMP_DATA"), os.path.join(common.REPOSITORY, ".data"), os.path.join(common.REPOSITORY, "..", "shared", "data")]
    paths = [os.path.join(folder, below, name) for folder in filter(None, folders) for below in ("", "zero-shot")]
    return next(filter(os.path.exists, paths), None)


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


def documents(task, items):
    """The first items of the task's file as the harness's data set would hold them."""
    path = data_file(FILES[task])
    with open(path, encoding="utf-8", newline="") as file:
        lines = file.read().split("\n")
    if task == "hellaswag":
        groups = [lines[i:i + 6] for i in range(0, 6 * items, 6)]
        split = [(context.partition(": "), label, endings) for context, label, *endings in groups if endings]
        return [{"activity_label": activity, "ctx_a": rest, "ctx_b": "", "endings": endings, "label": label}
                for (activity, _, rest), label, endings in split]
    if task == "openbookqa":
        rows = [line.split("\t") for line in lines[1:items + 1] if line]
        choices = [re.fullmatch(r"\(A\) (.*) \(B\) (.*) \(C\) (.*) \(D\) (.*)", row[2]).groups() for row in rows]
        return [{"question_stem": row[1], "choices": {"text": list(texts), "label": list("ABCD")}, "answerKey": row[4].strip()}
                for row, texts in zip(rows, choices)]
    rows = [json.loads(line) for line in lines[:items] if line]
    if task == "piqa":
        with open(os.path.join(os.path.dirname(path), "valid-labels.lst"), encoding="utf-8") as file:
            labels = file.read().split()
        return [{"goal": row["goal"], "sol1": row["sol1"], "sol2": row["sol2"], "label": int(label)} for row, label in zip(rows, labels)]
    if task in ("arc_easy", "arc_challenge"):
        return [{"question": row["question"]["stem"], "choices": {key: [c[key] for c in row["question"]["choices"]] for key in ("text", "label")},
                 "answerKey": row["answerKey"]} for row in rows]
    if task == "winogrande":  # the file holds the sentence with either option; the harness wants the blank
        starts = [os.path.commonprefix(row["context_options"]) for row in rows]
        return [{"sentence": start + "_ " + row["continuation"].strip(), "option1": row["context_options"][0][len(start):],
                 "option2": row["context_options"][1][len(start):], "answer": str(row["gold"] + 1)} for row, start in zip(rows, starts)]
    if task == "boolq":
        return [{"passage": row["passage"], "question": row["question"], "label": int(row["label"] in (True, "true")), "idx": 0} for row in rows]
    return [{"text": row["text"]} for row in rows]


class Harness:
    """What lm-evaluation-harness asks of the first items of a task, and what it makes of the answers of `score`."""

    def __init__(self, task, items, score):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import lm_eval
        from lm_eval.api.model import LM

        asked = self.asked = []  # (context, continuation) of every candidate, in the order of the items

        class Model(LM):
            def loglikelihood(self, requests, disable_tqdm=False):
                asked.extend(r.args for r in requests)
                return score([r.args for r in requests])

            def loglikelihood_rolling(self, requests, disable_tqdm=False):
                raise NotImplementedError

            def generate_until(self, requests, disable_tqdm=False):
                raise NotImplementedError

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "items.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                for document in documents(task, items):
                    file.write(json.dumps(document) + "\n")
            name = HARNESS_NAMES.get(task, task)
            splits = dict.fromkeys(("train", "validation", "test"), path)
            config = {"task": name, "dataset_path": "json", "dataset_name": None,
                      "dataset_kwargs": {"data_files": splits, "cache_dir": folder}}
            out = lm_eval.simple_evaluate(model=Model(), tasks=[{"group": "local", "task": [config]}], num_fewshot=0, bootstrap_iters=1000)
        result = next(r for r in out["results"].values() if "acc,none" in r)
        self.metrics = {m: (result[m + ",none"], result[m + "_stderr,none"]) for m in ("acc", "acc_norm") if m + ",none" in result}
        samples = sorted(next(iter(out["samples"].values())), key=lambda s: s["doc_id"])
        self.right = []  # log-likelihood of every item's right candidate
        for sample in samples:
            if task == "winogrande":  # its target is the text behind either name
                gold = int(sample["doc"]["answer"]) - 1
            else:
                gold = 0 if task == "lambada" else int(sample["target"])
            self.right.append(float(sample["filtered_resps"][gold][0]))


class Scores:
    """transformers' log-likelihood and greediness of (context, continuation), every pair once."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer, self.known = model, tokenizer, {}

    def __call__(self, asked):
        fresh = list(dict.fromkeys(pair for pair in asked if pair not in self.known))
        self.known.update(zip(fresh, scores(self.model, [encoded(self.tokenizer, *pair) for pair in fresh])))
        return [self.known[pair] for pair in asked]


def recorded(tasks, items, threads):
    """The metrics that `stamp run` writes for the model in full precision."""
    text = f"""schema: 1
name: zero_shot_reference
model: {{path: {json.dumps(common.smollm2())}}}
zero_shot: {{tasks: {json.dumps(tasks)}, items: {items}, bos: none, rule: leak_free}}
quantization:
  method: rtn
  weights: {{bits: 16}}
  activations: {{bits: 16}}
  kv_cache: {{bits: 16}}
evaluate: [zero_shot]
"""
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "experiment.yaml"), os.path.join(folder, "out")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run([common.program("stamp"), "run", path, "--output", out, "--threads", str(threads)], check=True, capture_output=True)
        with open(os.path.join(out, "records.jsonl"), encoding="utf-8") as file:
            record = json.loads(file.readlines()[-1])
    return {metric["name"]: metric for metric in record["metrics"]}


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(abs(a - b) <= 1e-9 for m in ours for a, b in zip(ours[m], theirs[m]))


def shown(metrics):
    return ", ".join(f"{name} {value:.4f} +- {error:.4f}" for name, (value, error) in metrics.items())


def check_dump(checks, task, items, score, harness):
    """Every candidate of task_dump; accuracies by our rule on its values."""
    dump = ours(task, items)
    prompts = dump["prompts"]
    asked = [pair for prompt in prompts for pair in candidates_of(prompt)]
    pairs = [encoded(score.tokenizer, *pair) for pair in asked]
    own = [c for item in dump["items"] for c in item["candidates"]]
    equal = sum((c["context"], c["ids"]) == pair for c, pair in zip(own, pairs))
    checks.check(f"{task}: token ids", len(own) == len(pairs) == equal, f"{equal} of {len(pairs)} candidates")
    theirs = score(asked)
    gap = max(abs(c["loglik"] - value) for c, (value, _) in zip(own, theirs))
    greedy = sum(c["greedy"] == flag for c, (_, flag) in zip(own, theirs))
    checks.check(f"{task}: log-likelihoods", gap <= TOLERANCE and greedy == len(own), f"largest difference {gap:.1e} over {len(own)} candidates")
    mine = accuracies(task, prompts, [(c["loglik"], c["greedy"]) for c in own])
    if harness:
        other = next((pair for pair in zip(asked, harness.asked) if pair[0] != pair[1]), None)
        checks.check(f"{task}: prompts as lm-evaluation-harness makes them", asked == harness.asked,
                     f"{len(asked)} candidates" if not other else f"the first that differs: {other[0]!r}, the harness {other[1]!r}")
    reference = harness.metrics if harness else accuracies(task, prompts, theirs)
    mine = {name: value for name, value in mine.items() if name in reference}
    checks.check(f"{task}: accuracy{' as lm-evaluation-harness has it' if harness else ''}", bool(mine) and same(mine, reference), shown(mine))


def check_record(checks, task, metrics, harness):
    """What a user reads: the record of `stamp run`."""
    # The harness has an acc_norm for every task of several choices, a record for those whose average takes it.
    mine = {name: (metrics[key]["value"], metrics[key]["standard_error"])
            for name in harness.metrics if (key := f"{task}_{name}") in metrics}
    theirs = {name: value for name, value in harness.metrics.items() if name in mine}
    checks.check(f"{task}: record, accuracy as lm-evaluation-harness has it", "acc" in mine and same(mine, theirs), shown(mine))
    losses = metrics[f"{task}_gold_nll"]["items"]
    gap = max(abs(loss + value) for loss, value in zip(losses, harness.right))
    checks.check(f"{task}: record, loss of the right candidate", len(losses) == len(harness.right) and gap <= TOLERANCE + RECORDED,
                 f"largest difference {gap:.1e} over {len(losses)} items")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--record-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    try:
        import lm_eval  # noqa: F401
        installed = True
    except ImportError:
        installed = False
        print("lm_eval is not installed: its prompts and accuracies, and the record, are left out")
    if arguments.record_only and not installed:
        raise SystemExit("--record-only compares with lm-evaluation-harness: pip install lm_eval==0.4.13 datasets")
    tasks = [task for task in arguments.tasks.split(",") if data_file(FILES[task])]
    for task in set(arguments.tasks.split(",")) - set(tasks):
        print(f"{task}: left out, {FILES[task]} is not found ($STAMP_DATA)")
    score = Scores(gguf_model.load(common.smollm2()), Llama(common.smollm2(), vocab_only=True, verbose=False))
    checks = common.Checks(f"SmolLM2, {arguments.items} items a task, float32")
    metrics = recorded(tasks, arguments.items, arguments.threads) if installed else {}
    for task in tasks:
        harness = Harness(task, arguments.items, score) if installed else None
        if not arguments.record_only:
            check_dump(checks, task, arguments.items, score, harness)
        if harness:
            check_record(checks, task, metrics, harness)
    checks.finish()


if __name__ == "__main__":
    main()
