#!/usr/bin/env python3
"""Seed corpora for the fuzz targets: python3 tests/fuzz/corpus.py FOLDER writes FOLDER/<target>/*. Always the same files."""
import glob
import json
import os
import struct
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def gguf(pairs, tensors, version=3, alignment=32):
    """tensors: (name, dims fastest first, type, bytes)"""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs)
    data = b""
    for name, dims, kind, content in tensors:
        data += bytes(-len(data) % alignment)
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += content
    return head + bytes(-len(head) % alignment) + data


def gguf_seeds():
    blocks = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144),
              13: (256, 176), 14: (256, 210), 0: (1, 4), 1: (1, 2), 30: (1, 2), 28: (1, 8), 26: (1, 4)}
    scalars = [pair("u8", 0, b"\1"), pair("i8", 1, b"\2"), pair("u16", 2, b"\3\0"), pair("i16", 3, b"\4\0"), pair("u32", 4, b"\5\0\0\0"),
               pair("i32", 5, b"\6\0\0\0"), pair("f32", 6, struct.pack("<f", 1.5)), pair("bool", 7, b"\1"), pair("text", 8, text("x")),
               pair("u64", 10, struct.pack("<Q", 7)), pair("i64", 11, struct.pack("<q", -7)), pair("f64", 12, struct.pack("<d", 0.1))]
    tokens = [pair("general.architecture", 8, text("llama")), pair("tokenizer.ggml.model", 8, text("gpt2")),
              pair("tokenizer.ggml.tokens", 9, array(8, [text(t) for t in ("a", "b", "ab")])),
              pair("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", s) for s in (0, 1, 2)])),
              pair("nested", 9, array(9, [array(0, [b"\1", b"\2"]), array(8, [text("y")])]))]
    yield "empty", gguf([], [])
    yield "scalars", gguf(scalars, [], version=2)
    yield "tokenizer", gguf(tokens, [("t", [2, 2], 0, bytes(16))])
    yield "aligned", gguf([pair("general.alignment", 4, struct.pack("<I", 64))], [("a", [1], 0, bytes(4)), ("b", [3], 0, bytes(12))], alignment=64)
    yield "split", gguf([pair("split.no", 2, b"\0\0"), pair("split.count", 2, b"\2\0"), pair("split.tensors.count", 5, b"\2\0\0\0")],
                        [("a", [1], 0, bytes(4))])
    for kind, (elements, size) in blocks.items():
        yield f"type{kind}", gguf([], [("w", [elements, 2], kind, bytes(range(256))[:size].ljust(size, b"\5") * 2)])


def safetensors(header, data=b""):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def safetensors_seeds():
    def entry(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    yield "empty", safetensors({})
    yield "padded", safetensors(b"{}      ")
    yield "metadata", safetensors({"__metadata__": {"format": "pt", "config": "{}"}})
    for dtype, size in (("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("I16", 2), ("I8", 1), ("U8", 1), ("BOOL", 1)):
        yield dtype, safetensors({"a": entry(dtype, [2, 3], 0, 6 * size), "b": entry(dtype, [], 6 * size, 7 * size),
                                  "c": entry(dtype, [0], 7 * size, 7 * size)}, bytes(7 * size))


def tokenizer_seeds():
    def tokenizer(pre, **more):
        base = {"added_tokens": [{"id": 4, "content": "<s>", "special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": True}],
                "normalizer": None, "pre_tokenizer": pre, "post_processor": None,
                "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "<s>": 4}, "merges": ["a b"], "ignore_merges": True}}
        return json.dumps({**base, **more}).encode()
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    plain = {**level, "use_regex": False}
    yield "bytelevel", tokenizer(level)
    yield "nfc", tokenizer(level, normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]}) + b"\0ab e\xcc\x81 <s>  x"
    yield "digits", tokenizer({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]}) + b"\0a12b"
    for behavior in ("Isolated", "Removed", "MergedWithPrevious"):
        split = {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|[^\\s\\p{L}]+"}, "behavior": behavior, "invert": behavior == "Removed"}
        yield behavior, tokenizer({"type": "Sequence", "pretokenizers": [split, plain]})
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}}
    yield "template", tokenizer(level, post_processor={"type": "Sequence", "processors": [template, level]})
    yield "pairs", tokenizer(level, model={"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]})
    mark = "\u2581"
    characters = {"type": "BPE", "unk_token": "<s>", "fuse_unk": True, "byte_fallback": True,
                  "vocab": {"a": 0, "b": 1, "ab": 2, mark: 3, "<s>": 4, "<0xC3>": 5, "<0xA9>": 6}, "merges": ["a b"]}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": mark}
    back = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": mark}, "content": " "}, {"type": "ByteFallback"},
                                             {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    yield "llama2", tokenizer(None, model=characters, decoder=back,
                              normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": mark}, spaces]})
    yield "gemma", tokenizer({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                             model=characters, decoder=back, normalizer=spaces) + b"\0ab  caf\xc3\xa9 <s>a"
    metaspace = {"type": "Metaspace", "replacement": mark, "prepend_scheme": "first", "split": True}
    yield "metaspace", tokenizer(metaspace, model={**characters, "byte_fallback": False}, decoder=metaspace)


def score_seeds():
    def metadata(pieces, **more):
        columns = {key: [p[i] for p in pieces] for i, key in enumerate(("tokens", "scores", "types"))}
        return json.dumps({**columns, "bos": 1, "eos": 2, "unknown": 0, "add_bos": True, **more}).encode()
    head = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
    words = [("a", -3, 1), ("b", -4, 1), ("ab", -1, 1), ("\u2581", -5, 1), ("\u2581a", -2, 1), ("[X]", 0, 4), ("  ", 0, 4), ("aab", -1, 5)]
    yield "bytes", metadata(head + [(f"<0x{b:02X}>", 0, 6) for b in range(256)] + words)
    yield "bare", metadata(head + words, add_space_prefix=False, add_eos=True) + b"\0aab  [X]b</s>"
    yield "empty", metadata([])


def sentencepiece_seeds():
    def field(number, content):
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number * 8 + 2]) + length + bytes([size]) + content
    def piece(word, score, kind):
        return field(1, field(1, word.encode()) + b"\x15" + struct.pack("<f", score) + bytes([24, kind]))
    base = piece("<unk>", 0, 2) + piece("</s>", 0, 3) + b"".join(piece(w, s, 1) for w, s in (("a", -1), ("\u2581", -2), ("\u2581a", -3), ("small", -4)))
    yield "small", base
    yield "kinds", base + piece("[X]", 0, 4) + piece("cat", 0, 5) + field(3, bytes([24, 0, 32, 0, 40, 0]))
    yield "bytes", base + b"".join(piece(f"<0x{b:02X}>", 0, 6) for b in range(256)) + field(2, bytes([24, 1, 0x98, 2, 1]))
    with open(os.path.join(REPOSITORY, "tests", "golden", "text_tokenizers", "spiece.model"), "rb") as file:
        yield "table", file.read()


def yaml_seeds():
    for path in sorted(glob.glob(os.path.join(REPOSITORY, "experiments", "*", "*.yaml")) + glob.glob(os.path.join(REPOSITORY, "configs", "**", "*.yaml"), recursive=True)):
        with open(path, "rb") as file:
            yield os.path.relpath(path, REPOSITORY).replace(os.sep, "_"), file.read()
    yield "small", b"name: x\nmodel: {path: a.gguf}\naxes:\n  activations.bits: [4, 8]\n"
    yield "anchors", b"a: &x [1, 2]\nb: *x\n"
    yield "nesting", b"[" * 200
    yield "types", b"a: 1e400\nb: .nan\nc: 0x1F\nd: \"\\u00e9\"\ne: |\n  text\nf: ~\n"


def main():
    for target, seeds in (("fuzz_gguf", gguf_seeds()), ("fuzz_safetensors", safetensors_seeds()), ("fuzz_tokenizer_json", tokenizer_seeds()),
                          ("fuzz_tokenizer_gguf", score_seeds()), ("fuzz_sentencepiece", sentencepiece_seeds()), ("fuzz_yaml", yaml_seeds())):
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        for name, content in seeds:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
