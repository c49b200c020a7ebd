#!/usr/bin/env python3
"""Sequence transforms computed by SciPy and PyWavelets, for tests/golden/transforms.json.

Without arguments the stored file is compared with a fresh computation (exit 1 when they differ by more than 1e-12);
--write replaces it. The unit tests compare the C++ transforms with the file.
"""
import sys

import numpy as np
import pywt
import scipy
from scipy.fft import dct, dctn
from scipy.linalg import hadamard

import golden

GOLDEN = golden.FOLDER / "transforms.json"


def signal(tokens):
    """Exactly representable values in [-1, 1), the same rule as in the test."""
    return np.array([(n * 7919 % 1024) / 512 - 1 for n in range(tokens)])


def shown(tokens):
    """Rows that are stored: all of a short transform, the first 32 and every 97th of a long one."""
    if tokens <= 128:
        return list(range(tokens))
    return sorted(set(range(32)) | set(range(0, tokens, 97)) | {tokens - 1})


def sequency_rows(tokens):
    h = hadamard(tokens)
    return h[np.argsort((np.diff(h, axis=1) != 0).sum(axis=1))] / np.sqrt(tokens)


def grid(height, width):
    return signal(height * width).reshape(height, width)


def haar2d(x, levels):
    """Low band first; per level the differences along the width, along the height, along both, each line by line."""
    bands = pywt.wavedec2(x, "haar", mode="periodization", level=levels)
    parts = [bands[0]]
    for along_height, along_width, both in bands[1:]:
        parts += [along_width, along_height, both]
    return np.concatenate([p.ravel() for p in parts])


def dct2d(x):
    c = dctn(x, type=2, norm="ortho")
    order = sorted(np.ndindex(x.shape), key=lambda f: (f[0] + f[1], max(f), f[0]))
    return np.array([c[f] for f in order])


def cases():
    for name, tokens, levels, values in plain_cases():
        yield name, tokens, None, levels, values
    for height, width, levels in ((2, 2, 1), (4, 4, 1), (4, 4, 2), (8, 4, 2), (4, 24, 2), (16, 16, 1), (32, 32, 2),
                                  (32, 32, 3), (48, 84, 2), (64, 64, 3), (64, 64, 6)):
        yield "haar2d", height * width, [height, width], levels, haar2d(grid(height, width), levels)
    for height, width in ((1, 1), (1, 7), (5, 1), (2, 2), (3, 5), (8, 8), (12, 20), (16, 16), (48, 84), (64, 64)):
        yield "dct2d", height * width, [height, width], None, dct2d(grid(height, width))


def plain_cases():
    for tokens in (1, 2, 3, 4, 5, 8, 12, 23, 64, 89, 100, 1000, 2047, 2048):
        yield "dct", tokens, None, dct(signal(tokens), type=2, norm="ortho")
    for tokens, levels in ((2, 1), (8, 1), (8, 2), (8, 3), (64, 5), (96, 5), (2048, 3), (2048, 5), (2048, 11)):
        bands = pywt.wavedec(signal(tokens), "haar", mode="periodization", level=levels)
        yield "haar", tokens, levels, np.concatenate(bands)
    for tokens in (2, 4, 8, 64, 2048):
        yield "wht", tokens, None, sequency_rows(tokens) @ signal(tokens)


def compute():
    rows = []
    for name, tokens, sides, levels, values in cases():
        kept = shown(tokens)
        row = {"transform": name, "tokens": tokens, "levels": levels, "rows": kept,
               "values": [float(values[i]) for i in kept]}
        rows.append(row if sides is None else row | {"grid": sides})
    return {"made_by": "scripts/reference/transforms.py", "signal": "x[n] = (n * 7919 mod 1024) / 512 - 1",
            "numpy": np.__version__, "scipy": scipy.__version__, "pywavelets": pywt.__version__, "cases": rows}


def main():
    write, fresh = golden.told_to_write(__doc__), compute()
    if write:
        golden.write(GOLDEN, fresh)
        print(f"wrote {GOLDEN} ({len(fresh['cases'])} cases)")
        return 0
    stored = golden.read(GOLDEN)
    worst = 0.0
    for old, new in zip(stored["cases"], fresh["cases"], strict=True):
        if any(old.get(k) != new.get(k) for k in ("transform", "tokens", "grid", "levels", "rows")):
            print(f"stored case {old['transform']} {old['tokens']} is not {new['transform']} {new['tokens']}")
            return 1
        worst = max(worst, golden.gap(old["values"], new["values"]))
    print(f"transforms: {len(fresh['cases'])} cases, SciPy {scipy.__version__}, PyWavelets {pywt.__version__}, "
          f"largest difference to the stored values {worst:.2e}")
    return golden.exit_code(worst)


if __name__ == "__main__":
    sys.exit(main())
