"""tokenizer.json pipelines: ours against Hugging Face's tokenizers library, on small vocabularies trained here.

--write  writes tests/golden/tokenizer_json.json (the pipelines and the library's ids); the unit tests hold ours to that file.
"""
import json
import os
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import common
from strings import all_strings

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "tokenizer_json.json")
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
A = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + TAIL
B = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + TAIL


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def trained(pre, strings, normalizer=None, added=(), special=("<s>", "</s>"), prefix=(), suffix=(), ignore_merges=False, size=420):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(strings, trainer)
    tokenizer.add_tokens(list(added))
    if prefix or suffix:
        single = [f"{t}" for t in prefix] + ["$A"] + [f"{t}" for t in suffix]
        ids = [(t, tokenizer.token_to_id(t)) for t in dict.fromkeys([*prefix, *suffix])]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def pipelines(strings):
    sequence = pre_tokenizers.Sequence
    flags = [AddedToken("mask", single_word=True, normalized=False), AddedToken("[L]", lstrip=True, normalized=False),
             AddedToken("[R]", rstrip=True, normalized=False), AddedToken("é!", normalized=True), AddedToken("  ", normalized=False),
             AddedToken("[LR]", lstrip=True, rstrip=True, normalized=False)]
    return {
        "llama 3": trained(sequence([split(A), byte_level(False)]), strings, prefix=["<s>"], ignore_merges=True),
        "qwen 2": trained(sequence([split(B), byte_level(False)]), strings, normalizer=normalizers.NFC()),
        "smollm": trained(sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), strings, added=flags,
                          normalizer=normalizers.Sequence([normalizers.NFC()])),
        "digit runs, both ends": trained(sequence([pre_tokenizers.Digits(individual_digits=False), byte_level(True)]), strings,
                                         prefix=["<s>"], suffix=["</s>"]),
        "removed": trained(sequence([split(r"\s+", "removed"), byte_level(False)]), strings),
        "with previous": trained(sequence([pre_tokenizers.Split("e", "merged_with_previous"), byte_level(False)]), strings),
        "inverted": trained(sequence([split(r"\p{L}+|\p{N}", "removed", True), byte_level(False)]), strings),
    }


EXTRA = ["mask", "a mask b", "unmask", "mask1", "(mask)", "é mask é", "a  [L] b", "  [L]", "[R]  b", "[R]\n\nb", "a [LR] b", "x [L] [R] y",
         "e\u0301! é!", "caf\u0065\u0301!", "<s>", "</s>", "a<s>b</s>", "<s> <s>", "<s", "a    b", "mask_", "IT'\u017f", "it'\u017f x"]


def cases():
    strings = [s for s in all_strings() if len(s) <= 200]
    return EXTRA + strings[::4]


def ids(tokenizer, text):
    tokenizer.encode_special_tokens = False
    special = tokenizer.encode(text, add_special_tokens=True).ids
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    return special, plain


def ours(tokenizer, texts, special):
    """Ids of this program for a folder that holds the tokenizer and an empty model."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("config.json", "{}"), ("tokenizer.json", tokenizer.to_str()), ("texts", json.dumps(texts))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write((2).to_bytes(8, "little") + b"{}")
        out = subprocess.run([common.program("reference_dump"), "ids", folder, os.path.join(folder, "texts"), "special" if special else "plain"],
                             check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def write(texts, made):
    out = {"made_by": f"scripts/reference/tokenizer_json.py --write; tokenizers {tokenizers.__version__}", "texts": texts, "pipelines": []}
    for name, tokenizer in made.items():
        pairs = [ids(tokenizer, t) for t in texts]
        out["pipelines"].append({"name": name, "tokenizer": json.loads(tokenizer.to_str()),
                                 "special": [p[0] for p in pairs], "plain": [p[1] for p in pairs]})
    with open(GOLDEN, "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
    print(f"{len(texts)} strings, {len(out['pipelines'])} pipelines, {os.path.getsize(GOLDEN)} bytes")


def main():
    made = pipelines([s for s in all_strings() if len(s) <= 200])
    if "--write" in sys.argv:
        return write(cases(), made)
    checks, texts = common.Checks("tokenizer.json pipelines against the tokenizers library"), EXTRA + all_strings()
    for name, tokenizer in made.items():
        pairs = [ids(tokenizer, t) for t in texts]
        for i, special in enumerate((True, False)):
            wrong = [t for t, mine, pair in zip(texts, ours(tokenizer, texts, special), pairs, strict=True) if mine != pair[i]]
            checks.check(f"{name}, special={special}", not wrong, f"{len(texts) - len(wrong)} of {len(texts)} identical {wrong[:3]!r}")
    checks.finish()


main()
