#!/usr/bin/env python3
"""Rules of the tree that no compiler holds. Fails with one line a fault.

* Every source file below tests/ is named by a CMakeLists.txt above it (or matched by one of its globs): a test file that
  is in no target passes for ever.
* No path of somebody's machine, no note that work is unfinished.
* No tracked file above 2 MB, but for those listed below with their reason: data, models and results of programs do not
  belong here.
* No source file above 500 lines, but for those listed below with their reason.
* Links between the pages of docs/ and the READMEs lead to files that exist.
"""

import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SELF = "scripts/check_tree.py"
LARGEST_BYTES = 2 * 1000 * 1000
LONGEST_LINES = 500
# path -> (most bytes, why it is here)
LARGE = {
    "results/cifar10_dit/checkpoint/transformer/diffusion_pytorch_model.safetensors":
        (24 * 1000 * 1000, "the image model that everybody can run; no registry holds it, and training it takes hours of a core"),
}
# path -> why it is longer than 500 lines
LONG = {}
SOURCE = (".h", ".cpp", ".py", ".sh", ".cmake")
# Folders that only exist on the machine of whoever wrote the line.
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:(?:work|root)\b(?![-.\w])|(?:tmp|home/\w+|Users/\w+|mnt/\w+)/)")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|TBD|WIP)\b|\bnot (?:yet )?implemented\b|\bunimplemented\b", re.ASCII)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


def tracked():
    """Tracked files and new ones that git does not ignore; in an unpacked archive every file."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True).stdout
        names = [name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skip = {".git", ".venv", ".venv-reference", ".data", "build", "runs"}
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")
                 if path.is_file() and path.relative_to(ROOT).parts[0] not in skip]
    return sorted(name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


def text_of(name):
    data = (ROOT / name).read_bytes()
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def check_targets(names):
    faults = []
    for name in names:
        if not (name.startswith("tests/") and name.endswith(".cpp")):
            continue
        folder = pathlib.PurePosixPath(name).parent
        while True:
            listing = ROOT / folder / "CMakeLists.txt"
            if listing.is_file() and mentions(listing.read_text(encoding="utf-8"), name, folder):
                break
            if folder.as_posix() in ("tests", "."):
                faults.append(f"{name}: in no CMakeLists.txt, so it is never built")
                break
            folder = folder.parent
    return faults


def mentions(cmake, name, folder):
    relative = pathlib.PurePosixPath(name).relative_to(folder).as_posix()
    words = set(re.split(r"[\s()\"]+", re.sub(r"#.*", "", cmake)))
    prefix = "${CMAKE_CURRENT_SOURCE_DIR}/"
    words = {word.removeprefix(prefix) for word in words}
    # Benchmarks and fuzz targets are named without their suffix.
    if relative in words or relative.removesuffix(".cpp") in words:
        return True
    return any("*" in word and fnmatch.fnmatch(relative, word) for word in words)


def check_texts(names):
    faults = []
    for name in names:
        text = text_of(name)
        if text is None or name == SELF:
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            for what, pattern in (("path of a machine", MACHINE_PATH), ("unfinished", UNFINISHED)):
                found = pattern.search(line)
                if found:
                    faults.append(f"{name}:{number}: {what}: {found.group(0).strip()}")
        if name.endswith(SOURCE) and not name.startswith("results/"):
            faults += check_length(name, len(lines))
        if name.endswith(".md"):
            faults += check_links(name, text)
    return faults


def check_length(name, lines):
    if lines > LONGEST_LINES and name not in LONG:
        return [f"{name}: {lines} lines; split it, or give a reason in {SELF}"]
    if lines <= LONGEST_LINES and name in LONG:
        return [f"{SELF}: {name} has {lines} lines and needs no reason any more"]
    return []


def check_links(name, text):
    faults = []
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        if not ((ROOT / name).parent / target).exists():
            faults.append(f"{name}: the link {target} leads nowhere")
    return faults


def check_sizes(names):
    faults = []
    for name in names:
        size, most = (ROOT / name).stat().st_size, LARGE.get(name, (LARGEST_BYTES,))[0]
        if size > most:
            faults.append(f"{name}: {size} bytes; at most {most}")
    return faults


def main():
    names = tracked()
    faults = check_targets(names) + check_texts(names) + check_sizes(names)
    faults += [f"{SELF}: {name} is listed as long but is not there" for name in LONG if name not in names]
    for fault in faults:
        print(fault)
    print(f"{len(names)} files checked, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
