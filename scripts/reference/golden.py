"""What comparisons with numbers in tests/golden/NAME.json share: their command line, how the file is written, and when it agrees."""
import argparse
import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
TOLERANCE = 1e-12


def told_to_write(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help="replace the stored file")
    return parser.parse_args().write


def write(path, content):
    """`content` ends with its "cases", which get a line each."""
    head = {k: v for k, v in content.items() if k != "cases"}
    lines = ",\n".join("  " + json.dumps(row) for row in content["cases"])
    path.write_text(json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n")


def read(path):
    return json.loads(path.read_text())


def gap(old, new):
    """The largest difference of two lists of numbers."""
    return float(np.max(np.abs(np.subtract(old, new))))


def exit_code(worst):
    return 0 if worst < TOLERANCE else 1
