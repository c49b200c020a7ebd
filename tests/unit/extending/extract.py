"""Writes the code of docs/extending.md into a folder, so that the page's example is compiled as it is printed.

    extract.py PAGE SOURCE_ROOT OUTPUT

A line that ends in `path`: names the file of the next code block. A cpp block is a whole file. A diff block is applied to
the file of that path below SOURCE_ROOT: context and removed lines must be there, once and in this order, or the page is
out of date and this fails.
"""

import pathlib
import re
import sys

BLOCK = re.compile(r"`(src/[^`]+)`:\n\n```(cpp|diff)\n(.*?)```\n", re.DOTALL)


def apply(diff, text, path):
    lines = text.splitlines()
    at = 0
    for number, line in enumerate(diff.splitlines(), 1):
        kind, body = line[:1], line[1:]
        if kind == "@":
            continue
        if kind == "+":
            lines.insert(at, body)
            at += 1
            continue
        where = [i for i in range(at, len(lines)) if lines[i] == body]
        if kind not in (" ", "-") or len(where) != 1:
            sys.exit(f"docs/extending.md: line {number} of the change to {path} does not fit the file: {line}")
        at = where[0] + 1
        if kind == "-":
            del lines[where[0]]
            at -= 1
    return "\n".join(lines) + "\n"


def main():
    page, root, output = (pathlib.Path(argument) for argument in sys.argv[1:])
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if len(blocks) != 3:
        sys.exit(f"{page}: {len(blocks)} code blocks with a path found, a header, a source and a registration are wanted")
    for path, language, code in blocks:
        target = output / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(code if language == "cpp" else apply(code, (root / path).read_text(encoding="utf-8"), path), encoding="utf-8")


if __name__ == "__main__":
    main()
