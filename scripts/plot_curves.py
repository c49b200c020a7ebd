"""Curves of plot.py: a metric against the number that a sweep varies."""

import math
import textwrap

import matplotlib.ticker as ticker
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plot_looks import amount, caption, distinct, finite, logarithmic, method_colours, plt, shades, short, transform_styles

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
    return [{**row, "value": math.log(row["value"] / row["fp"]), "low": None, "high": None} for row in rows]


def intervals_of(rows):
    """(x, low, high) of values that stand alone at their x; of repetitions the range is drawn instead."""
    alone = {row["x"] for row in rows if sum(r["x"] == row["x"] for r in rows) == 1}
    return [(row["x"], row["low"], row["high"]) for row in rows if row["x"] in alone and finite(row["low"], row["high"])]


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
    one_method = len(methods) == 1
    kind_colours = shades(colours[methods[0]], len(kinds)) if one_method else None
    intervals = []
    for method in methods:
        for transform in transforms:
            for index, kind in enumerate(kinds):
                here = [r for r in drawn if (r["method"], r["transform"], r["series"]) == (method, transform, kind)]
                points = points_of(here)
                if not points:
                    continue
                marker, line, _ = styles[transform]
                # One method alone leaves the shades of its colour free for what else differs.
                colour = kind_colours[index] if one_method and len(kinds) > 1 else colours[method]
                x, y = [p[0] for p in points], [p[1] for p in points]
                axes.plot(x, y, color=colour, linestyle=line if len(points) > 1 else "", marker=marker, markersize=5, linewidth=1.2,
                          fillstyle=FILLS[index % len(FILLS)])
                if any(p[4] > 1 for p in points):
                    repeated = max(repeated, max(p[4] for p in points))
                    axes.vlines(x, [p[2] for p in points], [p[3] for p in points], color=colour, linewidth=0.9)
                intervals += [(colour, *one) for one in intervals_of(here)]
                lines += 1
    values, xs = [r["value"] for r in drawn], [r["x"] for r in drawn]
    if min(values) > 0 and (excess or max(values) > 5 * min(values)):
        logarithmic(axes.yaxis)
    if min(xs) > 0 and max(xs) >= 8 * min(xs):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    elif len(set(xs)) <= 6:
        axes.set_xticks(sorted(set(xs)), [f"{x:g}" for x in sorted(set(xs))])
    fp = next((r["fp"] for r in drawn if finite(r["fp"])), None)
    if fp and not excess:
        axes.axhline(fp, color="black", linewidth=1, linestyle="--")
        axes.annotate(f"full precision {short(fp)}", (0, fp), (3, 2), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7.5)
    # Intervals of single values are as wide as windows or images differ, so that they would flatten every curve: they end
    # where the axes do.
    axes.set_ylim(axes.get_ylim())
    for colour, x, low, high in intervals:
        axes.vlines([x], [low], [high], color=colour, linewidth=0.8, alpha=0.35)
    axes.set_xlabel(NAMES.get(axis, axis))
    better = "lower" if drawn[0]["lower_is_better"] else "higher"
    unit = f" in {drawn[0]['unit']}" if drawn[0]["unit"] else ""
    axes.set_ylabel(f"log({metric} / full precision's), nats a token" if excess else f"{metric}{unit} ({better} is better)")
    axes.set_title(name)
    handles = [Patch(facecolor=colours[m], label=m) for m in methods]
    for transform in transforms:
        marker, line, _ = styles[transform]
        handles.append(Line2D([], [], color="black", marker=marker, linestyle=line, markersize=5, label=transform))
    if len(kinds) > 1:
        handles += [Line2D([], [], color=kind_colours[i] if one_method else "black", marker="o", linestyle="",
                           fillstyle=FILLS[i % len(FILLS)], markersize=5, label="\n".join(textwrap.wrap(kind or "as the others", 34)))
                    for i, kind in enumerate(kinds[:MOST_KINDS])]
    axes.legend(handles=handles, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3)
    text = f"n = {amount(drawn, 'n', drawn[0]['over'] or 'items')}. {drawn[0]['protocol']}"
    if excess:
        own = sorted({r["fp"] for r in drawn})
        text += f"\nLower is better; full precision is 0 ({metric} {', '.join(short(v) for v in own[:4])}{' and others' if len(own) > 4 else ''})."
    if intervals:
        text += "\nFaint lines: 95% interval of a value over its items, cut where the axes end. Differences between points have paired intervals of their own, which are narrower (stamp table --differences)."
    if repeated:
        text += f"\nPoints are medians of up to {repeated} seeds, black or coloured lines their range."
    if len(drawn) < len(rows):
        text += f" Left out, not finite: {len(rows) - len(drawn)}."
    caption(figure, text)
    return figure, {"lines": lines, "points": len(drawn)}
