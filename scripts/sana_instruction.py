#!/usr/bin/env python3
"""Writes the instruction that SANA's pipeline puts before every prompt, as the installed diffusers library has it.

    python3 scripts/sana_instruction.py FILE

It is a default argument of SanaPipeline.__call__ and part of that library, not of this repository. The text is checked against the
SHA-256 that the program expects.
"""
import hashlib
import importlib
import inspect
import pathlib
import sys

EXPECTED = "48290080bb4fd4a264bdc81d0647ac0221359a36506e2b3e954616d6cb48c3da"


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        pipeline = importlib.import_module("diffusers.pipelines.sana.pipeline_sana").SanaPipeline
    except ImportError as error:
        sys.exit(f"diffusers is not installed here ({error}): pip install diffusers transformers")
    lines = inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default
    text = "\n".join(lines)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != EXPECTED:
        sys.exit(f"the installed diffusers has another instruction: SHA-256 {found}, expected {EXPECTED}")
    path = pathlib.Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path}: {len(lines)} lines")


if __name__ == "__main__":
    main()
