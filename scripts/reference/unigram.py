"""Tokenizers of image models' text encoders: ours against SentencePiece and transformers, on small vocabularies trained here.

--write  writes tests/golden/text_tokenizers/: a tiny spiece.model, and the libraries' ids; the unit tests hold ours to them.
"""
import glob
import io
import json
import os
import subprocess
import sys
import tempfile

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer

import common
from strings import all_strings

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "text_tokenizers")
T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
EXTRA = ["</s>", "a</s>b", "<unk>", "<pad> x", "<extra_id_0>", "\u2581", "\u2581\u2581a", "a \u2581 b", "ＡＢＣ　ｄｅｆ", "㌔㍍ ﬁ ﬂ", "①②③", "½ cup",
         "e\u0301 n\u0303 a\u030a", "한\u1112\u1161\u11ab", "カ\u3099 ｶﾞ", "Ⅻ ℌ ™", "\u00ad soft\u00adhyphen", "a\u0300\u0301\u0302\u0303b", "[X]", "a[X]b", " [X] ", "[X][X]",
         "<|startoftext|>a photo<|endoftext|>", "A Photo OF a Cat's tail, isn't it? 12345 cats", "İSTANBUL ΣΊΣΥΦΟΣ", "a</w>b </w>", "漢字漢字", "x漢y字z",
         "An astronaut riding a green horse", "  a  small cactus\twith a happy face\n"]


def small_text():
    """Sentences of a made-up grammar: what the tiny model of the unit tests is trained on."""
    things = ["cat", "horse", "castle", "robot", "garden", "lighthouse", "teapot", "mountain"]
    looks = ["small", "red", "ancient", "happy", "shining", "wooden", "blue", "quiet"]
    places = ["near the river", "under a cloudy sky", "in the desert", "on a table", "at night"]
    return [f"a {l} {t} {p}, {'photo' if (i + j) % 2 else 'painting'} of the {looks[(i + 3) % 8]} {things[(j + 5) % 8]}."
            for i, l in enumerate(looks) for j, t in enumerate(things) for p in places]


def train(lines, **options):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=made, model_type="unigram", minloglevel=2, **{**T5, **options})
    return made.getvalue()


def tiny_model():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        # Full-width letters, a ligature, composition of two accents, a run of keys that share a beginning, white space, removal.
        pairs = [(chr(0xFF21 + i), chr(65 + i)) for i in range(26)] + [("ﬁ", "fi"), ("e\u0301", "é"), ("n\u0303", "ñ"), ("①", "1"),
                 ("①②", "12"), ("①②③", "123"), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\u00ad", ""), ("½", " 1/2")]
        for key, value in pairs:
            rules.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")
        rules.flush()
        return train(small_text(), vocab_size=150, hard_vocab_limit=False, normalization_rule_tsv=rules.name, character_coverage=1.0, user_defined_symbols=["[X]", "  "])


def corpus():
    lines = []
    for folder in (os.environ.get("STAMP_DATA"), os.path.join(common.REPOSITORY, "..", "shared", "data")):
        for path in sorted(glob.glob(os.path.join(folder or "", "text", "*.txt"))):
            with open(path, encoding="utf-8", errors="replace") as file:
                lines += [line.strip() for line in file.read(300000).split("\n") if line.strip()][:3000]
    return lines


def big_models(lines):
    """(name, bytes): what published unigram models switch."""
    mixed = [line[:400] for line in lines]
    yield "t5", train(mixed, vocab_size=4000)
    yield "bytes", train(mixed, vocab_size=3000, byte_fallback=True, character_coverage=0.99)
    yield "no prefix, spaces kept", train(mixed, vocab_size=2000, add_dummy_prefix=False, remove_extra_whitespaces=False)
    yield "identity", train(mixed, vocab_size=2000, normalization_rule_name="identity", user_defined_symbols=["[X]", "Photo", "  "])
    yield "case folded", train(mixed, vocab_size=2000, normalization_rule_name="nmt_nfkc_cf", split_by_whitespace=False)


def sentencepiece_ids(model, texts):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.encode(t) + [processor.eos_id()] for t in texts]


def t5_tokenizer(model):
    """transformers' T5Tokenizer with the pieces and the table of a SentencePiece model, as its own conversion makes it."""
    proto = pb.ModelProto.FromString(model)
    vocab = [(p.piece, p.score) for p in proto.pieces] + [(f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1)]
    return T5Tokenizer(vocab=vocab, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap)


def clip_tokenizer(lines, size):
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    trained.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # Words without their leading space, as CLIP's pattern leaves them.
    words = [w for line in lines for w in line.lower().split()]
    trained.train_from_iterator(words, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False))
    model = json.loads(trained.to_str())["model"]
    entries = sorted(model["vocab"], key=model["vocab"].get)
    letters = sorted(alphabet)
    merges = [tuple(m) for m in model["merges"]]
    everything = dict.fromkeys(letters + [c + "</w>" for c in letters] + entries + [a + b for a, b in merges])
    vocab = {t: i for i, t in enumerate([*everything, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges), vocab, merges


def ours(files, texts):
    """Ids of this program for a folder with `files` (name -> bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**files, "texts": json.dumps(texts).encode()}.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        out = subprocess.run([common.program("reference_dump"), "folder", folder, os.path.join(folder, "texts"), "special"], check=True,
                             capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def clip_files(vocab, merges):
    return {"vocab.json": json.dumps(vocab).encode(), "merges.txt": "\n".join(["#version: 0.2"] + [" ".join(m) for m in merges]).encode()}


def json_file(tokenizer):
    return {"tokenizer.json": tokenizer.backend_tokenizer.to_str().encode()}


def compare(checks, name, theirs, mine, texts):
    wrong = [i for i in range(len(texts)) if theirs[i] != mine[i]]
    shown = "; ".join(f"{texts[i][:60]!r}: theirs {theirs[i][:20]}, ours {mine[i][:20]}" for i in wrong[:4])
    checks.check(name, not wrong, f"{len(texts)} texts, {sum(map(len, theirs))} ids" + (f", {len(wrong)} differ: {shown}" if wrong else ""))


def write():
    os.makedirs(GOLDEN, exist_ok=True)
    model = tiny_model()
    texts = list(dict.fromkeys(EXTRA + [s for s in all_strings() if len(s) <= 60][::5]))
    t5 = t5_tokenizer(model)
    clip, vocab, merges = clip_tokenizer(small_text(), 640)
    with open(os.path.join(GOLDEN, "spiece.model"), "wb") as file:
        file.write(model)
    out = {"made_by": f"scripts/reference/unigram.py --write; sentencepiece {sentencepiece.__version__}, transformers {transformers.__version__}",
           "texts": texts, "sentencepiece": sentencepiece_ids(model, texts), "t5_json": json.loads(t5.backend_tokenizer.to_str()), "t5": t5(texts)["input_ids"],
           "clip_json": json.loads(clip.backend_tokenizer.to_str()), "clip": clip(texts)["input_ids"],
           "clip_decoded": [clip.decode(ids, skip_special_tokens=False) for ids in clip(EXTRA)["input_ids"]]}
    # The added tokens that the tiny model itself does not need.
    with open(os.path.join(GOLDEN, "ids.json"), "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")
    print(f"{len(texts)} texts; spiece.model of {len(model)} bytes")


def main():
    if sys.argv[1:] == ["--write"]:
        return write()
    checks = common.Checks("Tokenizers of text encoders against SentencePiece and transformers")
    lines = corpus()
    texts = list(dict.fromkeys(EXTRA + all_strings() + lines[::7]))
    tiny = tiny_model()
    compare(checks, "tiny unigram model", sentencepiece_ids(tiny, texts), ours({"spiece.model": tiny}, texts), texts)
    for name, model in big_models(lines) if lines else []:
        compare(checks, f"unigram, {name}", sentencepiece_ids(model, texts), ours({"spiece.model": model}, texts), texts)
        if name == "t5":
            t5 = t5_tokenizer(model)
            compare(checks, "unigram, tokenizer.json as T5Tokenizer has it", t5(texts)["input_ids"], ours(json_file(t5), texts), texts)
    clip, vocab, merges = clip_tokenizer(lines or small_text(), 3000)
    theirs = clip(texts)["input_ids"]
    compare(checks, "CLIP, vocab.json and merges.txt", theirs, ours(clip_files(vocab, merges), texts), texts)
    compare(checks, "CLIP, tokenizer.json", theirs, ours(json_file(clip), texts), texts)
    checks.finish()


if __name__ == "__main__":
    main()
