#!/usr/bin/env python3
"""Draws the figures of a run from the CSV files that `stamp plot` writes (docs/records.md, "Plot data").

    scripts/plot.py FOLDER [--figure perplexity|bound|energy|curves|images|steps|blocks] [--output FOLDER]
    scripts/plot.py --self-test

Every figure is written as PNG and SVG. One colour is one method in all figures; transforms differ by hatch, marker and line
style, so that a grey print can be read. Colours are Okabe and Ito's, which common colour blindness keeps apart.
"""

import argparse
import csv
import math
import pathlib
import sys
import textwrap

try:
    import numpy as np

    from plot_curves import draw_curves
    from plot_images import draw_blocks, draw_images, draw_steps
    from plot_looks import (MOST_LINES, amount, caption, distinct, finite, legend, method_colours, plt, short, transform_styles)
except ImportError as error:
    sys.exit(f"plot.py: {error}; scripts/setup.sh installs numpy and matplotlib into .venv")

BOUNDS = {"b1": "B1 (Theorem 1)", "b2": "B2 (actual range)", "b3": "B3 (noise estimate)", "b4": "B4 (capped by the signal)",
          "b5": "B5 (estimate with the rows' shape)"}
RASTER_POINTS = 3000  # above this an SVG's points become one picture: 10,000 markers make it several MB

class PlotError(Exception):
    """The data cannot be drawn; the message says which file and why."""


# ---- reading ---------------------------------------------------------------------------------------------------------


def number(text):
    """None for an empty cell; nan and inf are numbers here and dropped, with a count, where they cannot be drawn."""
    return float(text) if text not in ("", None) else None


def read(path, columns, numbers, later=((), ())):
    """The rows of a CSV file as dictionaries. PlotError when a column is missing or a number is none. `later`: columns and
    numbers that files of an older program lack; there they are empty."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns + numbers if name not in (reader.fieldnames or [])]
        if missing:
            raise PlotError(f"{path}: no column {', '.join(missing)}")
        rows = []
        for row in reader:
            try:
                rows.append({**row, **{name: row.get(name) or "" for name in later[0]}, **{name: number(row[name]) for name in numbers},
                             **{name: number(row.get(name)) for name in later[1]}})
            except ValueError as error:
                raise PlotError(f"{path}:{reader.line_num}: {error}") from error
    return rows


# ---- perplexity ------------------------------------------------------------------------------------------------------


def draw_perplexity(rows, name):
    """Bars per method and transform over the full-precision value. On a log axis a bar starts there, so that its length is
    the logarithm of how many times worse it is; a start at an arbitrary decade would mean nothing."""
    drawn = [row for row in rows if finite(row["value"])]
    if not drawn:
        return None, {}
    groups = list(dict.fromkeys((row["method"], row["label"]) for row in drawn))
    transforms, methods = distinct(drawn, "transform"), distinct(drawn, "method")
    colours, styles = method_colours(methods), transform_styles(transforms)
    fp = next((row["fp"] for row in drawn if finite(row["fp"])), None)
    values = [row["value"] for row in drawn] + ([fp] if fp else [])
    log = max(values) > 10 * min(values)
    bottom = (fp or min(values)) if log else 0

    width = 0.8 / max(1, len(transforms))
    size = max(6.0, 1.5 + 0.42 * len(groups) * max(1, len(transforms)) ** 0.8)
    labelled = any(label for _, label in groups)
    if labelled:  # a setting a line below its bars: upright labels would leave no height to the bars
        size = max(size, 1.5 + 1.1 * len(groups))
    figure, axes = plt.subplots(figsize=(min(size, 18), 4.2), layout="constrained")
    for row in drawn:
        x = groups.index((row["method"], row["label"])) + (transforms.index(row["transform"]) - (len(transforms) - 1) / 2) * width
        axes.bar(x, row["value"] - bottom, width * 0.94, bottom=bottom, color=colours[row["method"]], hatch=styles[row["transform"]][2],
                 edgecolor="white" if styles[row["transform"]][2] else colours[row["method"]], linewidth=0.5)
        if finite(row["low"], row["high"]):
            axes.plot([x, x], [row["low"], row["high"]], color="black", linewidth=1)
        top = max(row["value"], row["high"] if finite(row["high"]) else 0)
        axes.annotate(short(row["value"]), (x, top), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=7,
                      rotation=0 if len(drawn) <= 24 else 90)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom / 1.25, max(values) * (2 if len(drawn) <= 24 else 4))
    if fp:
        axes.axhline(fp, color="black", linewidth=1, linestyle="--")
        axes.annotate(f"full precision\n{short(fp)}", (1, fp), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="left", va="center", fontsize=7.5)
    axes.set_xticks(range(len(groups)), ["\n".join([method, *filter(None, label.split(", "))]) for method, label in groups],
                    rotation=0 if size <= 18 else 90, fontsize=7.5 if labelled else 9)
    axes.set_ylabel("perplexity (lower is better)" + (", log axis" if log else ""))
    axes.set_title(name)
    legend(axes, methods, transforms, "bars")

    text = f"n = {amount(drawn, 'n', 'windows')}. Black lines: 95% interval over windows where it is known. {drawn[0]['protocol']}."
    bits = sorted({tuple(row[key] for key in ("weight_bits", "activation_bits", "kv_bits")) for row in drawn}, key=str)
    if len(bits) == 1 and finite(*bits[0]):
        text += "\nAverage bits: weights {:g}, activations {:g}, caches {:g}.".format(*bits[0])
    if any(transform != "identity" for transform in transforms):
        text += " With a transform along the sequence a model can see ahead: these values may be too good."
    if len(drawn) < len(rows):
        text += f" Left out, not finite: {len(rows) - len(drawn)}."
    caption(figure, text)
    return figure, {"bars": len(drawn), "log": log}


# ---- bound -----------------------------------------------------------------------------------------------------------


def two_lines(label):
    name, meaning = label.split(" ", 1)
    return "\n".join([name] + textwrap.wrap(meaning, 12))


def error_axes(axes, rows, colours, styles):
    """Every slot's error against its bound, both divided by the slot's signal: slots differ by many orders of magnitude."""
    for method in distinct(rows, "method"):
        for transform in distinct(rows, "transform"):
            for holds in (True, False):
                some = [r for r in rows if (r["method"], r["transform"]) == (method, transform) and (r["theorem"] == "holds") == holds]
                axes.scatter([r["b1"] / r["signal"] for r in some], [r["error"] / r["signal"] for r in some], s=9, linewidths=0.5,
                             marker=styles[transform][0], edgecolors=colours[method], facecolors=colours[method] if holds else "none",
                             alpha=0.55, rasterized=len(rows) > RASTER_POINTS)
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Both axes end at the same value, so that the line always ends in the corner.
    high = 1.5 * max(max(r["b1"], r["error"]) / r["signal"] for r in rows)
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    axes.set_xlim(right=high)
    axes.set_ylim(top=high)
    axes.plot([low, high], [low, high], color="black", linewidth=1, scalex=False, scaley=False)
    axes.annotate("error = bound", (high, high), (-22, -1), textcoords="offset points", ha="right", va="top", fontsize=7.5)
    if high > 1:
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.annotate("the bound exceeds\nthe signal from here", (1, 0.03), (3, 0), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=7, va="bottom")
    axes.set_xlabel(r"bound B1 / signal  (dimensionless)")
    axes.set_ylabel(r"error $\|\hat X-X\|^2$ / signal $\|X\|^2$")


def known_bounds(rows):
    """Results of an older program have no B5."""
    return {key: label for key, label in BOUNDS.items() if any(finite(r[key]) for r in rows)}


def ratio_axes(axes, rows, colours, styles):
    """Error over each bound: median over slots, with the middle 90%. Against bits when these vary."""
    bounds = known_bounds(rows)
    bits = sorted({round(r["bits"]) for r in rows if finite(r["bits"])})
    if len(bits) > 2:
        for (key, label), line, grey in zip(bounds.items(), ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1))), ("0.0", "0.3", "0.5", "0.65", "0.15")):
            spread = [np.percentile([r["error"] / r[key] for r in rows if finite(r["bits"]) and round(r["bits"]) == b and r[key] > 0], (5, 50, 95))
                      for b in bits]
            low, middle, high = np.transpose(spread)
            axes.plot(bits, middle, linestyle=line, color=grey, marker="o", markersize=3, label=label)
            axes.fill_between(bits, low, high, color=grey, alpha=0.12, linewidth=0)
        axes.set_xlabel("average bits of a row")
        axes.set_xticks(bits)
        axes.add_artist(axes.legend(fontsize=7.5, loc="best"))  # kept beside the legend of methods, which comes later
    else:
        groups = list(dict.fromkeys((r["method"], r["transform"]) for r in rows))
        for i, key in enumerate(bounds):
            for j, (method, transform) in enumerate(groups):
                ratios = [r["error"] / r[key] for r in rows if (r["method"], r["transform"]) == (method, transform) and r[key] > 0]
                low, middle, high = np.percentile(ratios, (5, 50, 95))
                x = i + 0.8 * ((j + 0.5) / len(groups) - 0.5)
                axes.plot([x, x], [low, high], color=colours[method], linewidth=1)
                axes.plot(x, middle, styles[transform][0], color=colours[method], markersize=4)
        axes.set_xticks(range(len(bounds)), [two_lines(label) for label in bounds.values()], fontsize=7.5)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylabel("error / bound (1 = tight)")


def draw_bound(rows, name):
    drawn = [r for r in rows if finite(r["error"], r["signal"], *(r[b] for b in known_bounds(rows))) and r["error"] > 0 and r["signal"] > 0 and r["b1"] > 0]
    if not drawn:
        return None, {}
    methods, transforms = distinct(drawn, "method"), distinct(drawn, "transform")
    colours, styles = method_colours(methods), transform_styles(transforms)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    error_axes(left, drawn, colours, styles)
    ratio_axes(right, drawn, colours, styles)
    left.set_title(f"{name}: {len(drawn)} slots x trials")
    legend(right, methods, transforms, "points")
    holding = [r for r in drawn if r["theorem"] == "holds"]
    violations = [r for r in holding if finite(r["worst_ratio"]) and r["worst_ratio"] > 1]
    text = (f"n = {amount(drawn, 'samples', 'samples')} a slot. Below the line: the bound holds. Theorem 1's conditions hold for {len(holding)} of the "
            f"{len(drawn)} points (filled); {len(violations)} of them exceed the bound in some sample. "
            "Right: median over slots, bars or bands from the 5th to the 95th percentile; B3 and B5 are estimates, not bounds.")
    if len(drawn) < len(rows):
        text += f" Left out, without error or not finite: {len(rows) - len(drawn)}."
    caption(figure, text)
    return figure, {"points": len(drawn), "violations": len(violations)}


# ---- energy ----------------------------------------------------------------------------------------------------------


def high_rows(rows):
    """How many rows lie above the lowest bits, to draw a line where the two-level rule changes. None for uniform bits."""
    bits = [r["bits"] for r in rows if finite(r["bits"])]
    if not bits or max(bits) == min(bits):
        return None
    return max(r["row_to"] for r in rows if finite(r["bits"]) and r["bits"] > min(bits))


def draw_energy(rows, name):
    """Mean energy a transformed row, relative to the mean row of its slot: 1 everywhere means that nothing is concentrated."""
    drawn = [r for r in rows if finite(r["relative"], r["row_from"], r["row_to"]) and r["relative"] > 0]
    if not drawn:
        return None, {}
    series = list(dict.fromkeys((r["method"], r["transform"], r["label"]) for r in drawn))
    shown, note = series, ""
    if len(series) > MOST_LINES:
        first = {}
        for method, transform, label in series:
            first.setdefault((method, transform), (method, transform, label))
        shown = list(first.values())
        note = f" Of {len(series)} trials those first in the sweep for their method and transform are shown."
    kinds = distinct(drawn, "kind")
    methods, transforms = list(dict.fromkeys(s[0] for s in shown)), list(dict.fromkeys(s[1] for s in shown))
    colours, styles = method_colours(methods), transform_styles(transforms)
    figure, grid = plt.subplots(1, len(kinds), figsize=(1.6 + 3.5 * len(kinds), 4.2), layout="constrained", sharey=True, squeeze=False)
    for axes, kind in zip(grid[0], kinds):
        here = [r for r in drawn if r["kind"] == kind]
        for method, transform, label in shown:
            line = sorted((r for r in here if (r["method"], r["transform"], r["label"]) == (method, transform, label)), key=lambda r: r["row_from"])
            # Rows [row_from, row_to), counted from 1 on a log axis; a band stands at the geometric middle of its rows.
            x = [math.sqrt((r["row_from"] + 1) * r["row_to"]) for r in line]
            axes.plot(x, [r["relative"] for r in line], color=colours[method], linestyle=styles[transform][1], linewidth=1.2,
                      marker=styles[transform][0], markersize=3.5, markevery=max(1, len(line) // 10))
        change = high_rows([r for r in here if (r["method"], r["transform"], r["label"]) in shown])
        if change:
            axes.axvline(change, color="black", linewidth=0.8, linestyle=":")
            axes.annotate(f"more bits up\nto row {change:.0f}", (change, 0.97), (3, 0), xycoords=("data", "axes fraction"),
                          textcoords="offset points", va="top", fontsize=7)
        axes.axhline(1, color="black", linewidth=0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("transformed token (row), from 1")
        slots = sorted({int(r["slots"]) for r in here if finite(r["slots"])})
        axes.set_title(f"{kind} ({', '.join(map(str, slots))} slots)")
    grid[0][0].set_ylabel("energy of the row / mean energy of a row")
    legend(grid[0][-1], methods, transforms, "lines")
    figure.suptitle(name, fontsize=10)
    caption(figure, f"n = {amount(drawn, 'samples', 'samples')} a slot, sequences of {amount(drawn, 'tokens', 'tokens')}. Mean over the samples and slots of a kind, "
            f"without an interval: the records keep means only. Rows are in bands that widen evenly in the logarithm.{note}")
    return figure, {"lines": len(shown) * len(kinds)}


# ---- the whole -------------------------------------------------------------------------------------------------------

FIGURES = {
    "perplexity": (draw_perplexity, ["model", "method", "transform", "label", "protocol"],
                   ["value", "low", "high", "n", "fp", "activation_bits", "kv_bits", "weight_bits"], ("model", "protocol")),
    "bound": (draw_bound, ["model", "method", "transform", "label", "slot", "kind", "theorem"],
              ["samples", "bits", "signal", "error", "b1", "b2", "b3", "b4", "b5", "worst_ratio"], ("model",)),
    "energy": (draw_energy, ["model", "method", "transform", "label", "kind"],
               ["slots", "tokens", "row_from", "row_to", "relative", "bits"], ("model",)),
    "curves": (draw_curves, ["model", "method", "transform", "series", "axis", "metric", "unit", "protocol"],
               ["x", "value", "low", "high", "n", "fp", "lower_is_better"], ("model", "axis", "protocol")),
    "images": (draw_images, ["model", "method", "transform", "label", "folder", "protocol"],
               ["images", "latent_sqnr", "activation_bits", "weight_bits"], ("model", "protocol")),
    "steps": (draw_steps, ["model", "method", "transform", "label"],
              ["step", "steps", "images", "noise_sqnr", "noise_low", "noise_high", "way_sqnr"], ("model",)),
    "blocks": (draw_blocks, ["model", "method", "transform", "label", "least_slot"],
               ["block", "slots", "samples", "mean_sqnr_db", "least_sqnr_db"], ("model",)),
}


LATER = {"curves": (("over",), ()), "energy": ((), ("samples",))}  # what older files lack


def file_name(text):
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)


def draw(name, folder, output, say=print):
    """Writes one figure for every model (and protocol: unlike metrics do not share axes). Gives name -> facts."""
    function, columns, numbers, apart = FIGURES[name]
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise PlotError(f"{path}: not there; `stamp plot` writes it")
    rows = [{**row, "base": folder} for row in read(path, columns, numbers, LATER.get(name, ((), ())))]
    parts = list(dict.fromkeys(tuple(row[key] for key in apart) for row in rows))
    facts = {}
    for index, part in enumerate(parts):
        some = [row for row in rows if tuple(row[key] for key in apart) == part]
        figure, facts_of_figure = function(some, part[0])
        if figure is None:
            continue
        models = {p[0] for p in parts}
        stem = name + (f"-{file_name(part[0])}" if len(models) > 1 else "")
        stem += f"-{index + 1}" if len(parts) > len(models) else ""
        for suffix in ("png", "svg"):
            figure.savefig(output / f"{stem}.{suffix}", dpi=160, bbox_inches="tight", metadata={"Date": None} if suffix == "svg" else None)
            say(output / f"{stem}.{suffix}")
        plt.close(figure)
        facts[stem] = facts_of_figure
    if not facts:
        print(f"{path}: nothing to draw", file=sys.stderr)
    return facts


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", nargs="?", type=pathlib.Path, help="folder with the CSV files")
    arguments.add_argument("--figure", action="append", choices=list(FIGURES), help="only this one; may be repeated")
    arguments.add_argument("--output", type=pathlib.Path, help="where figures go; default: FOLDER")
    arguments.add_argument("--self-test", action="store_true", help="draw made-up data into a folder that is removed")
    options = arguments.parse_args()
    if options.self_test:
        import plot_selftest

        return plot_selftest.run(draw)
    if options.folder is None:
        arguments.error("the folder with the CSV files is missing")
    output = options.output or options.folder
    output.mkdir(parents=True, exist_ok=True)
    try:
        for name in options.figure or [n for n in FIGURES if (options.folder / f"{n}.csv").is_file()] or list(FIGURES):
            draw(name, options.folder, output)
    except (PlotError, OSError) as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
