#!/usr/bin/env python3
"""Taps of Daubechies' extremal phase and least asymmetric wavelets in 60 digits, beside PyWavelets'.

The half-band polynomial sum C(p-1+k, k) y^k with y = (2 - z - 1/z) / 4 is factored; of every pair of roots z and 1/z one
is taken. Which one distinguishes the families: of all choices the one is printed that PyWavelets' table has, so only
digits are new here, and the largest gap to that table. src/transforms/wavelet_filters.cpp holds what this prints.
"""
import itertools

import mpmath as mp
import pywt

mp.mp.dps = 60
TINY = mp.mpf(10) ** -30


def product(a, b):
    out = [mp.mpc(0)] * (len(a) + len(b) - 1)
    for i, u in enumerate(a):
        for j, v in enumerate(b):
            out[i + j] += u * v
    return out


def root_groups(moments):
    """Pairs of alternatives: the roots inside the unit circle, and outside; conjugates stay together."""
    polynomial = [mp.binomial(moments - 1 + k, k) for k in range(moments)]
    groups, seen = [], []
    for y in mp.polyroots(polynomial[::-1], maxsteps=500, extraprec=400):
        complex_root = abs(mp.im(y)) > TINY
        if complex_root and any(abs(y - mp.conj(u)) < TINY for u in seen):
            continue
        seen.append(y)
        b = 2 - 4 * y
        z = (b + mp.sqrt(b * b - 4)) / 2
        z = 1 / z if abs(z) > 1 else z
        inside = [z, mp.conj(z)] if complex_root else [mp.re(z)]
        groups.append((inside, [1 / r for r in inside]))
    return groups


def taps(moments, table):
    groups = root_groups(moments)
    best = None
    for choice in itertools.product((0, 1), repeat=len(groups)):
        h = [mp.mpf(1)]
        for _ in range(moments):
            h = product(h, [1, 1])
        for group, side in zip(groups, choice):
            for z in group[side]:
                h = product(h, [1, -z])
        h = [mp.re(v) for v in h]
        h = [v * mp.sqrt(2) / sum(h) for v in h]
        gap = max(abs(float(v) - t) for v, t in zip(h, table))
        if best is None or gap < best[0]:
            best = gap, h
    return best


def main():
    for name in ("db2", "db3", "db4", "sym4", "sym6", "sym8"):
        wavelet = pywt.Wavelet(name)
        gap, h = taps(wavelet.dec_len // 2, wavelet.rec_lo)
        print(f"{name}: gap to PyWavelets {gap:.1e}")
        print("  " + ", ".join(mp.nstr(v, 17) for v in h))


if __name__ == "__main__":
    main()
