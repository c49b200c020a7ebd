"""What the figures of plot.py and plot_images.py share: colours, markers, captions."""

import math
import textwrap

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import ticker
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# Every shipped method has a colour of its own, in all figures; pages have the same hues (method_colour in
# src/report/page_figures.cpp, --m0 to --m7 in src/report/page/page.css).
COLOURS = {"rtn": "#0072B2", "smoothquant": "#E69F00", "quarot": "#009E73", "hadanorm": "#CC79A7", "svdquant": "#D55E00", "viditq": "#56B4E9",
           "spinquant": "#999933", "flatquant": "#6A4FB3"}
FURTHER_COLOURS = ["#555555", "#882255", "#117733", "#000000"]  # of methods that are not shipped: none of the above
STYLES = {  # transform -> marker, line style, hatch
    "identity": ("o", "-", ""),
    "haar": ("s", "--", "///"),
    "dct": ("^", ":", ".."),
    "wht": ("D", "-.", "xx"),
    "klt": ("v", (0, (5, 1, 1, 1, 1, 1)), "++"),
    "haar2d": ("p", (0, (4, 2)), "\\\\"),
    "dct2d": ("<", (0, (1, 3)), "OO"),
}
FURTHER_STYLES = [("P", (0, (1, 1)), "oo"), ("X", (0, (8, 2)), "\\\\\\"), ("*", (0, (3, 3)), "--")]
MOST_LINES = 14

plt.rcParams.update({
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "hatch.linewidth": 0.6,
    "svg.hashsalt": "stamp", "svg.fonttype": "path", "legend.frameon": False,
})


class PlainLog(ticker.LogFormatter):
    """3 and 20 beside the ticks of a logarithmic axis, where they would be 3 x 10^0; which ticks have a number is as usual."""

    def __call__(self, x, pos=None):
        return f"{x:g}" if super().__call__(x, pos) else ""


def logarithmic(axis):
    """The x or y axis of a figure, with plain numbers where they are short."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    if low > 1e-4 and high < 1e6:
        axis.set_major_formatter(PlainLog())
        axis.set_minor_formatter(PlainLog(minor_thresholds=(1.2, 0.5)))


def distinct(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def finite(*values):
    return all(value is not None and math.isfinite(value) for value in values)


def method_colours(methods):
    """Shipped methods keep their colour whatever else is drawn; others get the next further one."""
    further = [name for name in sorted(methods) if name not in COLOURS]
    return {**COLOURS, **{name: FURTHER_COLOURS[i % len(FURTHER_COLOURS)] for i, name in enumerate(further)}}


def shades(colour, count):
    """One hue from dark to light, for what differs within a method: another hue would be another method's."""
    rgb = to_rgb(colour)
    steps = [-0.5 + 1.1 * i / (count - 1) for i in range(count)] if count > 1 else [0]
    return [tuple(c + ((1 if t > 0 else 0) - c) * abs(t) for c in rgb) for t in steps]


def amount(rows, key, things):
    """"4 windows" of a column with numbers; a figure never is silent about how much it rests on."""
    counts = sorted({int(row[key]) for row in rows if finite(row[key])})
    return f"{', '.join(map(str, counts)) or 'an unknown number of'} {things}"


def transform_styles(transforms):
    further = [name for name in sorted(transforms) if name not in STYLES]
    return {**STYLES, **{name: FURTHER_STYLES[i % len(FURTHER_STYLES)] for i, name in enumerate(further)}}


def short(value):
    """Four significant digits, as the tables have them."""
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}"


def caption(figure, text):
    """Under the axes: what was measured, on how much, by which protocol. The layout keeps the space of its lines free."""
    width = int(figure.get_figwidth() * 15)
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width)]
    height = (0.16 * len(lines) + 0.1) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, height, 1, 1 - height))
    figure.text(0.01, 0.01, "\n".join(lines), fontsize=7.5, va="bottom", color="#333333")


def legend(axes, methods, transforms, kind):
    """Colour for methods, then hatch or marker for transforms."""
    colours, styles = method_colours(methods), transform_styles(transforms)
    handles = [Patch(facecolor=colours[name], label=name) for name in methods]
    for name in transforms:
        marker, line, hatch = styles[name]
        if kind == "bars":
            handles.append(Patch(facecolor="white", edgecolor="black", hatch=hatch, label=name))
        else:
            handles.append(Line2D([], [], color="black", marker=marker, linestyle=line if kind == "lines" else "", markersize=5, label=name))
    axes.legend(handles=handles, fontsize=8, ncols=1, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3)
