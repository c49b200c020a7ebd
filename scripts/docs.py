#!/usr/bin/env python3
"""Writes the generated parts of the pages: reference tables from the program's registries, tables from committed results.

    scripts/docs.py [--check] [--program build/bin/stamp]

A generated part stands between two comments, which stay:

    <!-- fields: begin, ... --> ... <!-- fields: end -->            settings of an experiment file (`stamp describe --markdown`)
    <!-- plugins: begin, ... --> ... <!-- plugins: end -->          methods, transforms, allocations, metrics, texts
    <!-- include PATH: begin --> ... <!-- include PATH: end -->     a file of this repository, such as a result's table

--check writes nothing and fails when a page is out of date.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- (fields|plugins|include (\S+)): begin[^>]*-->\n)(.*?)(<!-- \2: end -->)", re.DOTALL)
FIELD_HEADINGS = ("### Keys of the file", "### Settings of a trial")


NO_RESULT = "*No result of this experiment is committed; its command makes one.*\n"


def reference(program):
    """The two parts of `stamp describe --markdown`: what does not depend on the plugins, and what does."""
    try:
        text = subprocess.run([program, "describe", "--markdown"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"docs.py: {error}; build it first: scripts/test.sh, or ninja -C build stamp")
    for heading in re.finditer(r"^### .*$", text, re.MULTILINE):
        if heading.group(0) not in FIELD_HEADINGS:
            return {"fields": text[:heading.start() - 1], "plugins": text[heading.start():]}
    sys.exit("docs.py: `stamp describe --markdown` lists no plugins")


def render(text, generated):
    def part(match):
        begin, kind, path, _, end = match.groups()
        if path is None:
            return begin + generated[kind] + end
        if not (ROOT / path).is_file():
            return begin + NO_RESULT + end
        return begin + (ROOT / path).read_text(encoding="utf-8") + end

    return PART.sub(part, text)


def pages():
    listed = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*/*.md")]
    return sorted(page for page in listed if page.is_file())


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="only tell which pages are out of date")
    arguments.add_argument("--program", default=str(ROOT / "build" / "bin" / "stamp"))
    options = arguments.parse_args()
    generated = reference(options.program)
    faults, parts = [], 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        parts += len(PART.findall(text))
        fresh = render(text, generated)
        if fresh == text:
            continue
        if options.check:
            faults.append(f"{page.relative_to(ROOT)}: out of date; run scripts/docs.py")
        else:
            page.write_text(fresh, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: written")
    for fault in faults:
        print(fault)
    print(f"{parts} generated parts, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
