"""Curves of plot.py: a metric against the number that a sweep varies."""

import math
import textwrap

import matplotlib.ticker as ticker
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plot_looks import FURTHER_COLOURS, caption, distinct, finite, method_colours, plt, short, transform_styles

NAMES = {
    "average bits": "average bits of an activation",
    "calibration.samples": "calibration windows",
    "quantization.sequence.block": "tokens a block",
    "quantization.sequence.levels": "wavelet levels",
    "quantization.sequence.skip_first": "first tokens outside the transform",
    "quantization.activations.bits": "bits of an activation",
    "quantization.kv_cache.bits": "bits of a cache",
    "quantization.allocation.high_tokens": "rows at high bits",
    "decode.chunk": "tokens a chunk of the cache",
}
MOST_KINDS = 12  # in the legend
FILLS = ("full", "none", "left", "right", "top", "bottom")


def middle(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def points_of(rows):
    """x -> (middle, lowest, highest, count) over the repetitions that differ in a seed alone."""
    points = {}
    for row in rows:
        points.setdefault(row["x"], []).append(row["value"])
    return [(x, middle(v), min(v), max(v), len(v)) for x, v in sorted(points.items())]


def above_full_precision(rows):
    """Rows with perplexities as loss above full precision, in nats a token, or None where these do not say more.

    Perplexities of one sweep reach from 1.001 to a hundred times the model's own; on an axis of theirs, logarithmic or not,
    everything that works lies on one spot.
    """
    values = [row["value"] for row in rows]
    known = all(finite(row["fp"]) and row["fp"] > 0 and row["value"] > row["fp"] for row in rows)
    if "perplexity" not in rows[0]["metric"] or not known or max(values) <= 5 * min(values):
        return None
    return [{**row, "value": math.log(row["value"] / row["fp"])} for row in rows]


def draw_curves(rows, name):
    """One line for every method, transform and whatever else the sweep varies; single points stay markers."""
    drawn = [row for row in rows if finite(row["x"], row["value"])]
    if not drawn:
        return None, {}
    axis, metric = drawn[0]["axis"], drawn[0]["metric"]
    excess = above_full_precision(drawn)
    drawn = excess or drawn
    methods, transforms, kinds = distinct(drawn, "method"), distinct(drawn, "transform"), distinct(drawn, "series")
    colours, styles = method_colours(methods), transform_styles(transforms)
    figure, axes = plt.subplots(figsize=(8.4, 4.4), layout="constrained")
    lines = repeated = 0
    for method in methods:
        for transform in transforms:
            for index, kind in enumerate(kinds):
                points = points_of([r for r in drawn if (r["method"], r["transform"], r["series"]) == (method, transform, kind)])
                if not points:
                    continue
                marker, line, _ = styles[transform]
                # One method alone leaves colour free for what else differs.
                colour = FURTHER_COLOURS[index % len(FURTHER_COLOURS)] if len(methods) == 1 and len(kinds) > 1 else colours[method]
                x, y = [p[0] for p in points], [p[1] for p in points]
                axes.plot(x, y, color=colour, linestyle=line if len(points) > 1 else "", marker=marker, markersize=5, linewidth=1.2,
                          fillstyle=FILLS[index % len(FILLS)])
                if any(p[4] > 1 for p in points):
                    repeated = max(repeated, max(p[4] for p in points))
                    axes.vlines(x, [p[2] for p in points], [p[3] for p in points], color=colour, linewidth=0.9)
                lines += 1
    values, xs = [r["value"] for r in drawn], [r["x"] for r in drawn]
    if min(values) > 0 and (excess or max(values) > 5 * min(values)):
        axes.set_yscale("log")
    if min(xs) > 0 and max(xs) >= 8 * min(xs):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    fp = next((r["fp"] for r in drawn if finite(r["fp"])), None)
    if fp and not excess:
        axes.axhline(fp, color="black", linewidth=1, linestyle="--")
        axes.annotate(f"full precision {short(fp)}", (0, fp), (3, 2), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7.5)
    axes.set_xlabel(NAMES.get(axis, axis))
    better = "lower" if drawn[0]["lower_is_better"] else "higher"
    unit = f" in {drawn[0]['unit']}" if drawn[0]["unit"] else ""
    axes.set_ylabel(f"log({metric} / full precision's), nats a token" if excess else f"{metric}{unit} ({better} is better)")
    axes.set_title(name)
    one_method = len(methods) == 1
    handles = [] if one_method and len(kinds) > 1 else [Patch(facecolor=colours[m], label=m) for m in methods]
    for transform in transforms:
        marker, line, _ = styles[transform]
        handles.append(Line2D([], [], color="black", marker=marker, linestyle=line, markersize=5, label=transform))
    if len(kinds) > 1:
        handles += [Line2D([], [], color=FURTHER_COLOURS[i % len(FURTHER_COLOURS)] if one_method else "black", marker="o", linestyle="",
                           fillstyle=FILLS[i % len(FILLS)], markersize=5, label="\n".join(textwrap.wrap(kind or "as the others", 34)))
                    for i, kind in enumerate(kinds[:MOST_KINDS])]
    axes.legend(handles=handles, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3)
    counts = sorted({int(r["n"]) for r in drawn if finite(r["n"])})
    text = f"n = {', '.join(map(str, counts)) or 'unknown'}. {drawn[0]['protocol']}"
    if excess:
        own = sorted({r["fp"] for r in drawn})
        text += f"\nLower is better; full precision is 0 ({metric} {', '.join(short(v) for v in own[:4])}{' and others' if len(own) > 4 else ''})."
    if repeated:
        text += f"\nPoints are medians of up to {repeated} seeds, black or coloured lines their range."
    if len(drawn) < len(rows):
        text += f" Left out, not finite: {len(rows) - len(drawn)}."
    caption(figure, text)
    return figure, {"lines": lines, "points": len(drawn)}
