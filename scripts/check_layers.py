#!/usr/bin/env python3
"""Holds the #include lines of src/ to the table of layers in docs/architecture.md, and fails when they differ.

    scripts/check_layers.py [--program build/bin/stamp]

The table is read, not repeated here: its columns say which folder may include which ("base", "formats, data",
"everything above but report and cli", "quant (statistics only)": only headers with that word in their name). What a
folder's own layers may include, it may include too. Further rules:

* LibTorch: only in sources of folders marked [T] or [T in sources], and, narrowly (ATen/core/Tensor.h), in headers of
  those marked [T]. Its full headers cost 8 to 17 seconds in every file that sees them.
* spdlog only in src/base/log.*, yaml-cpp only in src/config/: one place each to replace them.
* With --program: that program must not depend on LibTorch, which would cost it a second at every start.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "architecture.md"
TORCH = re.compile(r"(ATen|torch|c10|caffe2)/|torch\.h$")
NARROW_TORCH = "ATen/core/Tensor.h"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


class Layer:
    def __init__(self, name, torch, allowed):
        self.name = name
        self.torch = torch  # "", "sources" or "all"
        self.allowed = allowed  # folder -> None (every header) or a word that the header's name must hold


def fail_table(line, why):
    sys.exit(f"{TABLE.relative_to(ROOT)}: {why}: {line.strip()}")


def read_table():
    """The layers in the order of the table, lowest first, with what each may include directly."""
    layers = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\|\s*`([a-z_/]+)`\s*(\[T[^\]]*\])?\s*\|[^|]*\|([^|]*)\|\s*$", line)
        if not match:
            continue
        name, mark, may = match.group(1), match.group(2), match.group(3).strip()
        torch = {None: "", "[T]": "all", "[T in sources]": "sources"}.get(mark)
        if torch is None:
            fail_table(line, f"unknown mark {mark}")
        layers[name] = Layer(name, torch, read_allowed(may, list(layers), line))
    if not layers:
        sys.exit(f"{TABLE.relative_to(ROOT)}: no table of layers found")
    return layers


def read_allowed(may, above, line):
    if may == "nothing of ours":
        return {}
    if may == "everything":
        return dict.fromkeys(above)
    if may.startswith("everything above"):
        but = re.findall(r"[a-z_/]+", may.removeprefix("everything above").removeprefix(" but"))
        return {name: None for name in above if name not in but}
    allowed = {}
    for part in may.split(","):
        match = re.fullmatch(r"\s*([a-z_/]+)\s*(?:\((\w+) only\))?\s*", part)
        if not match or match.group(1) not in above:
            fail_table(line, f"\"{part.strip()}\" is no folder further up in the table")
        allowed[match.group(1)] = match.group(2)
    return allowed


def close(layers):
    """Adds what the included layers may include, lowest first, so that one pass is enough."""
    for layer in layers.values():
        for name, only in list(layer.allowed.items()):
            for further, word in layers[name].allowed.items() if only is None else []:
                if layer.allowed.get(further, "") is not None:
                    layer.allowed[further] = word
        if "base" in layers and layer.name != "base":
            layer.allowed["base"] = None


def layer_of(path, layers):
    """The deepest folder of the table that holds a path relative to src/."""
    parts = pathlib.PurePosixPath(path).parts[:-1]
    for depth in range(len(parts), 0, -1):
        name = "/".join(parts[:depth])
        if name in layers:
            return layers[name]
    return None


def check_ours(source, layer, header, layers):
    target = layer_of(header, layers)
    if not (ROOT / "src" / header).is_file():
        return f'"{header}" is not a file below src/ (write it as "folder/name.h")'
    if target is None:
        return f'"{header}" lies in a folder that the table does not name'
    if target is layer:
        return None
    if target.name not in layer.allowed:
        return f"{layer.name} may not include {target.name}"
    word = layer.allowed[target.name]
    if word is not None and word not in header:
        return f"{layer.name} may include only {word} headers of {target.name}"
    return None


def check_foreign(source, layer, header):
    if TORCH.match(header):
        if source.suffix == ".h":
            if layer.torch != "all":
                return f"LibTorch in a header of {layer.name}"
            return None if header == NARROW_TORCH else f"<{header}> in a header; only <{NARROW_TORCH}> is cheap enough"
        return None if layer.torch else f"LibTorch in {layer.name}, which is not marked [T]"
    if header.startswith(("spdlog/", "yaml-cpp/")):
        home = "base/log" if header.startswith("spdlog") else "config/"
        if not str(source.relative_to(ROOT / "src")).startswith(home):
            return f"<{header}> outside src/{home}"
    return None


def check_sources(layers):
    faults, checked = [], 0
    for source in sorted((ROOT / "src").rglob("*")):
        if source.suffix not in (".h", ".cpp"):
            continue
        place = source.relative_to(ROOT)
        layer = layer_of(source.relative_to(ROOT / "src").as_posix(), layers)
        if layer is None:
            faults.append(f"{place}: in a folder that the table in docs/architecture.md does not name")
            continue
        text = source.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            checked += 1
            line = text.count("\n", 0, match.start(2)) + 1
            quoted, header = match.group(1) == '"', match.group(2)
            fault = check_ours(source, layer, header, layers) if quoted else check_foreign(source, layer, header)
            if fault:
                faults.append(f"{place}:{line}: {fault}")
    return faults, checked


def check_program(program):
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [f"{program}: depends on {line.split()[0]}" for line in needed.splitlines() if "libtorch" in line or "libc10" in line]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--program", help="a program that must not depend on LibTorch")
    options = arguments.parse_args()
    layers = read_table()
    close(layers)
    faults, checked = check_sources(layers)
    if options.program:
        faults += check_program(options.program)
    for fault in faults:
        print(fault)
    print(f"{checked} includes of {len(layers)} layers checked, {len(faults)} against the table")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
