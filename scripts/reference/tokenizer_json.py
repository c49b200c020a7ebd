"""tokenizer.json pipelines: ours against Hugging Face's tokenizers library, on small vocabularies trained here.

--write  writes tests/golden/tokenizer_json.json (the pipelines and the library's ids); the unit tests hold ours to that file.
"""
import json
import os
import random
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
    thought = [AddedToken(t, normalized=False) for t in ("<think>", "</think>", "<tool_call>")]
    return {
        "llama 3": trained(sequence([split(A), byte_level(False)]), strings, prefix=["<s>"], ignore_merges=True),
        "qwen 2": trained(sequence([split(B), byte_level(False)]), strings, normalizer=normalizers.NFC()),
        "qwen 3": trained(sequence([split(B), byte_level(False)]), strings, normalizer=normalizers.NFC(), added=thought,
                          special=("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
        "smollm": trained(sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), strings, added=flags,
                          normalizer=normalizers.Sequence([normalizers.NFC()])),
        "digit runs, both ends": trained(sequence([pre_tokenizers.Digits(individual_digits=False), byte_level(True)]), strings,
                                         prefix=["<s>"], suffix=["</s>"]),
        "removed": trained(sequence([split(r"\s+", "removed"), byte_level(False)]), strings),
        "with previous": trained(sequence([pre_tokenizers.Split("e", "merged_with_previous"), byte_level(False)]), strings),
        "inverted": trained(sequence([split(r"\p{L}+|\p{N}", "removed", True), byte_level(False)]), strings),
        "with next": trained(sequence([split(r"\s", "merged_with_next"), byte_level(False)]), strings),
    }


MARK = "\u2581"
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def pieces(strings, size=260, alphabet=120):
    """Entries and merges over characters, for a text whose spaces are marked."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_next")
    tokenizer.train_from_iterator(strings, trainers.BpeTrainer(vocab_size=size, limit_alphabet=alphabet, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(m) for m in model["merges"]]


def over_characters(found, normalizer=None, pre=None, decoder=None, added=(), special=("<unk>", "<s>", "</s>"), prefix="<s>", in_bytes=BYTES,
                    **model):
    entries, merges = found
    vocab = {t: i for i, t in enumerate(dict.fromkeys([*special, *in_bytes, *entries]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, **{"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True} | model))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.add_tokens(list(added))
    tokenizer.add_special_tokens([t if isinstance(t, AddedToken) else AddedToken(t, special=True, normalized=False) for t in special])
    if prefix:
        tokenizer.post_processor = processors.TemplateProcessing(single=[prefix, "$A"], special_tokens=[(prefix, vocab[prefix])])
    return tokenizer


def character_pipelines(strings):
    found = pieces(strings)
    replace, prepend = normalizers.Replace(" ", MARK), normalizers.Prepend(MARK)
    prefixed = normalizers.Sequence([prepend, replace])
    back = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    stripped = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)])
    metaspace = lambda scheme, cut: (pre_tokenizers.Metaspace(MARK, scheme, cut), decoders.Metaspace(MARK, scheme))
    runs = [AddedToken(c * n, normalized=False) for c in ("\n", "\t", MARK) for n in range(2, 6)]
    flags = [AddedToken("mask", single_word=True, normalized=False), AddedToken("[L]", lstrip=True, normalized=False),
             AddedToken("[R]", rstrip=True, normalized=False), AddedToken("x y", normalized=True), AddedToken("é!", normalized=True)]
    normalized = [AddedToken(t, special=True, normalized=True) for t in ("<unk>", "<s>", "</s>")]
    first, first_back = metaspace("first", False)
    cut, cut_back = metaspace("always", True)
    never, never_back = metaspace("never", True)
    return {
        "llama 2": over_characters(found, prefixed, decoder=stripped),
        "llama 2, normalized marks": over_characters(found, prefixed, decoder=stripped, special=("<unk>", "<s>", "</s>"), added=flags),
        "llama 2, marks as in its first files": marked(over_characters(found, prefixed, decoder=stripped), normalized),
        "mistral, metaspace": over_characters(found, pre=first, decoder=decoders.Sequence([*back, decoders.Strip(" ", 1, 0)]), added=flags[:3]),
        "metaspace, decoded as such": over_characters(found, pre=first, decoder=first_back, added=flags),
        "metaspace, split": over_characters(found, pre=cut, decoder=cut_back),
        "metaspace, no prefix": over_characters(found, pre=never, decoder=never_back),
        "gemma": over_characters(found, replace, pre_tokenizers.Split(" ", "merged_with_previous"), decoders.Sequence(back), runs,
                                 special=("<pad>", "<eos>", "<bos>", "<unk>"), prefix="<bos>"),
        "gemma 2, a tab for its byte": over_characters((["\t", *found[0]], found[1]), replace, decoder=decoders.Sequence(back),
                                                       in_bytes=[b for b in BYTES if b != "<0x09>"]),
        "unknown tokens, fused": over_characters(found, prefixed, decoder=stripped, byte_fallback=False, in_bytes=[]),
        "unknown tokens, each": over_characters(found, prefixed, decoder=stripped, byte_fallback=False, fuse_unk=False, in_bytes=[]),
        "words taken whole, no decoder": over_characters((found[0] + [MARK + "the", "état!"], found[1]), replace, pre_tokenizers.Split(
            Regex(r"\p{L}+"), "merged_with_next"), ignore_merges=True),
        "marks between": over_characters(found, normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), MARK)]),
                                         pre_tokenizers.Split(MARK, "merged_with_previous"), decoders.Sequence(back)),
    }


def marked(tokenizer, tokens):
    """The same with other flags for its special tokens."""
    made = json.loads(tokenizer.to_str())
    for token in tokens:
        for entry in made["added_tokens"]:
            if entry["content"] == token.content:
                entry["normalized"] = token.normalized
    return Tokenizer.from_str(json.dumps(made))


EXTRA = ["mask", "a mask b", "unmask", "mask1", "(mask)", "é mask é", "a  [L] b", "  [L]", "[R]  b", "[R]\n\nb", "a [LR] b", "x [L] [R] y",
         "e\u0301! é!", "caf\u0065\u0301!", "<s>", "</s>", "a<s>b</s>", "<s> <s>", "<s", "a    b", "mask_", "IT'\u017f", "it'\u017f x",
         "eee", "ee e", "a \u2581b", "\u2581\u2581", "\u2581a", " \u2581 ", "x y", "ax y b", "x yab", "x y ab", "<s>x y", "a <s> b", "<s>a", "a</s> b</s>", "  a", "\n\n\na",
         "a\t\tb", "\t", "<0x41>", "<unk>", "漢<unk>字", "漢字漢字", "a漢b字", "état!", " the", "<think>\nso</think>\n\n", "<|im_start|>user\nhi<|im_end|>\n",
         "<tool_call>", "<bos>a <bos> b"]


def cases():
    strings = [s for s in all_strings() if len(s) <= 200]
    return EXTRA + strings[::4]


def random_ids(tokenizer, count=40, seed=9):
    """Ids to decode that no text gives, half of them bytes where the vocabulary has such."""
    rng = random.Random(seed)
    size, found = tokenizer.get_vocab_size(), [i for i in map(tokenizer.token_to_id, BYTES) if i is not None]
    known = [i for i in range(size) if tokenizer.id_to_token(i) is not None]
    return [[rng.choice(found if found and rng.random() < 0.5 else known) for _ in range(rng.randint(1, 12))] for _ in range(count)]


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


def is_byte_level(tokenizer):
    return '"ByteLevel"' in json.dumps(json.loads(tokenizer.to_str())["pre_tokenizer"])


def write(texts, made):
    out = {"made_by": f"scripts/reference/tokenizer_json.py --write; tokenizers {tokenizers.__version__}", "texts": texts, "pipelines": []}
    for name, tokenizer in made.items():
        pairs = [ids(tokenizer, t) for t in texts]
        entry = {"name": name, "tokenizer": json.loads(tokenizer.to_str()), "special": [p[0] for p in pairs]}
        # Where it differs from special, by number of the text.
        entry["plain"] = {str(i): p[1] for i, p in enumerate(pairs) if p[1] != p[0]}
        if not is_byte_level(tokenizer):
            entry["decoded"] = [{"ids": i, "text": tokenizer.decode(i, skip_special_tokens=False)}
                                for i in [p[0] for p in pairs[:60]] + random_ids(tokenizer)]
        out["pipelines"].append(entry)
    with open(GOLDEN, "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
    print(f"{len(texts)} strings, {len(out['pipelines'])} pipelines, {os.path.getsize(GOLDEN)} bytes")


def main():
    strings = [s for s in all_strings() if len(s) <= 200]
    made = pipelines(strings) | character_pipelines(strings)
    if "--write" in sys.argv:
        return write(cases(), made)
    checks, texts = common.Checks("tokenizer.json pipelines against the tokenizers library"), EXTRA + all_strings()
    for name, tokenizer in made.items():
        pairs = [ids(tokenizer, t) for t in texts]
        for i, special in enumerate((True, False)):
            wrong = [t for t, mine, pair in zip(texts, ours(tokenizer, texts, special), pairs, strict=True) if mine != pair[i]]
            checks.check(f"{name}, special={special}", not wrong, f"{len(texts) - len(wrong)} of {len(texts)} identical {wrong[:3]!r}")
    checks.finish()


if __name__ == "__main__":
    main()
