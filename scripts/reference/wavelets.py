#!/usr/bin/env python3
"""Wavelet filters and periodic decompositions of PyWavelets, for tests/golden/wavelets.json.

Without arguments the stored file is compared with a fresh computation (exit 1 when they differ by more than 1e-12);
--write replaces it. The unit tests compare the C++ filters and transforms with the file.
"""
import sys

import numpy as np
import pywt

import golden

GOLDEN = golden.FOLDER / "wavelets.json"
FAMILIES = ("db2", "db3", "db4", "sym4", "sym6", "sym8")


def compute():
    cases = []
    for family in FAMILIES:
        for tokens, levels in ((8, 1), (64, 3), (96, 5), (2048, 5)):
            signal = np.array([(n * 7919 % 1024) / 512 - 1 for n in range(tokens)])
            bands = np.concatenate(pywt.wavedec(signal, family, mode="periodization", level=levels))
            rows = list(range(tokens)) if tokens <= 96 else sorted(set(range(24)) | set(range(0, tokens, 97)) | {tokens - 1})
            cases.append({"family": family, "tokens": tokens, "levels": levels, "rows": rows,
                          "values": [float(bands[i]) for i in rows]})
    return {"made_by": "scripts/reference/wavelets.py", "signal": "x[n] = (n * 7919 mod 1024) / 512 - 1",
            "pywavelets": pywt.__version__,
            "filters": {name: pywt.Wavelet(name).rec_lo for name in FAMILIES}, "cases": cases}


def main():
    write, fresh = golden.told_to_write(__doc__), compute()
    if write:
        golden.write(GOLDEN, fresh)
        print(f"wrote {GOLDEN.name} ({len(fresh['cases'])} cases)")
        return 0
    stored = golden.read(GOLDEN)
    worst = max(golden.gap(old["values"], new["values"]) for old, new in zip(stored["cases"], fresh["cases"], strict=True))
    worst = max([worst] + [golden.gap(stored["filters"][n], fresh["filters"][n]) for n in FAMILIES])
    print(f"wavelets: {len(fresh['cases'])} cases, PyWavelets {pywt.__version__}, largest difference to the stored values {worst:.2e}")
    return golden.exit_code(worst)


if __name__ == "__main__":
    sys.exit(main())
