"""SentencePiece models as GGUF metadata (a score for each token): ours against SentencePiece and llama.cpp, on models trained here.

--write  writes tests/golden/tokenizer_scores.json (the vocabularies and the libraries' answers); the unit tests hold ours to that file.
"""
import collections
import io
import json
import os
import random
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import sentencepiece
from llama_cpp import Llama

import common
from strings import all_strings

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "tokenizer_scores.json")
MARK = "\u2581"
RUNS = [mark * n for mark in ("\n", "\t", MARK) for n in range(2, 7)] + ["\n", "\t"]
COMMON = dict(model_type="bpe", normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
              character_coverage=1.0, max_sentence_length=20000, minloglevel=2, num_threads=1)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def with_unused(proto, chosen):
    """The serialized model with type 5 (unused) for the pieces whose index is in `chosen`. Piece: field 1; its type: field 3."""
    out, at, index = b"", 0, 0
    while at < len(proto):
        begin = at
        tag, at = varint(proto, at)
        size, at = varint(proto, at)  # every top-level field is a message
        body, at = proto[at:at + size], at + size
        if tag == 10:
            if index in chosen:
                body += b"\x18\x05"  # the last value of a field counts
                out += b"\x0a" + bytes([len(body)]) + body if len(body) < 128 else proto[begin:at]
            else:
                out += proto[begin:at]
            index += 1
        else:
            out += proto[begin:at]
    return out


class Model:
    """A trained model and what a converter stores of it."""

    def __init__(self, strings, drop=0.0, **settings):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(strings), model_writer=out, **COMMON | settings)
        self.spm = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        size = self.spm.get_piece_size()
        pieces = [self.spm.id_to_piece(i) for i in range(size)]
        if drop:
            longer = [i for i, p in enumerate(pieces) if len(p) > 1 and not p.startswith("<")]
            chosen = set(random.Random(5).sample(longer, int(drop * len(longer))))
            self.spm = sentencepiece.SentencePieceProcessor(model_proto=with_unused(out.getvalue(), chosen))
        own = set(settings.get("user_defined_symbols", []))
        self.types = [3 if self.spm.is_control(i) else 2 if self.spm.is_unknown(i) else 6 if self.spm.is_byte(i) else
                      5 if self.spm.is_unused(i) else 4 if pieces[i] in own else 1 for i in range(size)]
        # User-defined runs of spaces are spelled with spaces.
        self.tokens = [p.replace(MARK, " ") if t == 4 else p for p, t in zip(pieces, self.types, strict=True)]
        self.scores = [self.spm.get_score(i) for i in range(size)]
        self.space_prefix = settings.get("add_dummy_prefix", True)

    def metadata(self):
        return {"tokens": self.tokens, "scores": self.scores, "types": self.types, "bos": self.spm.bos_id(), "eos": self.spm.eos_id(),
                "unknown": self.spm.unk_id(), "add_space_prefix": self.space_prefix}


def models(strings):
    """name -> SentencePiece model"""
    strings = [s for s in strings if s and "\0" not in s and len(s) < 400]
    count = collections.Counter("".join(strings))
    known = {c for c, _ in count.most_common(150)}  # so that other characters need bytes
    strings = [s for s in strings if set(s) <= known]
    llama = dict(vocab_size=700, byte_fallback=True, split_digits=True)
    gemma = dict(vocab_size=800, byte_fallback=True, split_digits=True, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                 user_defined_symbols=RUNS + ["<table>", "</table>", "[multimodal]"], control_symbols=["<start_of_turn>"])
    return {"llama 2": Model(strings, **llama), "gemma": Model(strings, **gemma),
            "no bytes": Model(strings, vocab_size=500, add_dummy_prefix=False), "unused pieces": Model(strings, drop=0.4, **llama)}


def write_gguf(model, path):
    data = model.metadata()
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in ((writer.add_context_length, 64), (writer.add_embedding_length, 8), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, 8), (writer.add_head_count, 1), (writer.add_layer_norm_rms_eps, 1e-5),
                       (writer.add_tokenizer_model, "llama"), (writer.add_tokenizer_pre, "default"), (writer.add_token_list, data["tokens"]),
                       (writer.add_token_scores, data["scores"]), (writer.add_token_types, data["types"]), (writer.add_bos_token_id, data["bos"]),
                       (writer.add_eos_token_id, data["eos"]), (writer.add_unk_token_id, data["unknown"]), (writer.add_add_bos_token, True),
                       (writer.add_add_space_prefix, data["add_space_prefix"])):
        add(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def texts():
    marks = ["<s>", "</s>", "<bos>", "<start_of_turn>", "<unk>", "<0x41>", "<table>", "</table>", "[multimodal]"]
    extra = [a + m + b for m in marks for a, b in (("", ""), ("a", "b"), (" ", " "), ("x ", "  y"))]
    extra += [" " * n + t for n in range(1, 16) for t in ("", "x")] + ["\n" * n for n in range(1, 16)] + ["a\n\n\n b\t\tc", "\t\n \n  \t"]
    return list(dict.fromkeys(extra + all_strings()))


def random_ids(size, count=60, seed=3):
    rng = random.Random(seed)
    return [[rng.randrange(size) for _ in range(rng.randint(1, 12))] for _ in range(count)]


def answers(model, path, strings):
    """llama.cpp ends the process where a byte has no token, and gives unused pieces as they are: not asked about such models."""
    cases = [{"text": s, "sentencepiece": model.spm.encode(s)} for s in strings]
    if 6 in model.types and 5 not in model.types:
        llama = Llama(path, vocab_only=True, verbose=False)
        for case in cases:
            text = case["text"].encode()
            case["llama_special"] = llama.tokenize(text, add_bos=True, special=True)
            case["llama_plain"] = llama.tokenize(text, add_bos=False, special=False)
    return cases


def ours(path, strings, special):
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "texts.json")
        with open(name, "w", encoding="ascii") as file:
            json.dump(strings, file)
        out = subprocess.run([common.program("reference_dump"), "ids", path, name, "special" if special else "plain"], check=True,
                             capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def without_control(model, ids):
    return [i for i in ids if model.types[i] not in (2, 3)]


def write(made):
    out = {"made_by": f"scripts/reference/scores.py --write; sentencepiece {sentencepiece.__version__}, llama-cpp-python {llama_cpp.__version__}",
           "models": []}
    short = [s for s in texts() if len(s) <= 200]
    strings = short[:110] + short[110::4]
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(made.items()):
            path = os.path.join(folder, f"{number}.gguf")
            write_gguf(model, path)
            sequences = [without_control(model, ids) for ids in random_ids(len(model.tokens))]
            cases = answers(model, path, strings)
            out["models"].append({"name": name, **model.metadata(), "cases": cases,
                                  "decoded": [{"ids": ids, "text": model.spm.decode(ids)} for ids in sequences if ids]})
    with open(GOLDEN, "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
    print(f"{len(strings)} strings, {len(made)} models, {os.path.getsize(GOLDEN)} bytes")


def report(checks, name, cases, ours_of, key):
    wrong = [c["text"] for c, mine in zip(cases, ours_of, strict=True) if mine != c[key]]
    checks.check(name, not wrong, f"{len(cases) - len(wrong)} of {len(cases)} identical {wrong[:3]!r}")


def main():
    made = models(all_strings())
    if "--write" in sys.argv:
        return write(made)
    checks = common.Checks("SentencePiece models in GGUF metadata against SentencePiece and llama.cpp")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(made.items()):
            path = os.path.join(folder, f"{number}.gguf")
            write_gguf(model, path)
            cases = answers(model, path, texts())
            plain = ours(path, [c["text"] for c in cases], False)
            report(checks, f"{name}: SentencePiece", cases, plain, "sentencepiece")
            # A text's own U+2581 is a space to SentencePiece and here; llama.cpp cuts out user-defined tokens before it
            # spells spaces so.
            unmarked = [c for c in cases if MARK not in c["text"] and "llama_plain" in c]
            for key in ("special", "plain") if unmarked else ():
                mine = ours(path, [c["text"] for c in unmarked], key == "special")
                report(checks, f"{name}: llama.cpp, special={key == 'special'}", unmarked, mine, f"llama_{key}")
    checks.finish()


if __name__ == "__main__":
    main()
