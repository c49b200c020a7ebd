"""Figures of models that make images: the pictures themselves, SQNR by denoising step, SQNR by block."""

import numpy as np

from plot_looks import MOST_LINES, amount, caption, distinct, finite, legend, method_colours, plt, transform_styles

MOST_ROWS, MOST_PICTURES = 16, 4


def series_of(rows):
    return list(dict.fromkeys((r["method"], r["transform"], r["label"]) for r in rows))


def shown_series(rows):
    """All series, or where they are too many the first of every method and transform, with a note."""
    series = series_of(rows)
    if len(series) <= MOST_LINES:
        return series, ""
    first = {}
    for one in series:
        first.setdefault(one[:2], one)
    return list(first.values()), f" Of {len(series)} trials those first in the sweep for their method and transform are shown."


def lines(axes, rows, shown, x, y, colours, styles):
    for one in shown:
        line = sorted((r for r in rows if (r["method"], r["transform"], r["label"]) == one and finite(r[x], r[y])), key=lambda r: r[x])
        marker, stroke, _ = styles[one[1]]
        axes.plot([r[x] for r in line], [r[y] for r in line], color=colours[one[0]], linestyle=stroke, linewidth=1.2, marker=marker,
                  markersize=3.5, markevery=max(1, len(line) // 10))


def looks_of(shown):
    methods, transforms = list(dict.fromkeys(s[0] for s in shown)), list(dict.fromkeys(s[1] for s in shown))
    return methods, transforms, method_colours(methods), transform_styles(transforms)


# ---- pictures --------------------------------------------------------------------------------------------------------


def strip(folder, suffix):
    """The pictures that a trial kept, side by side with a white line between; None where there is none."""
    pictures = []
    for index in range(MOST_PICTURES):
        path = folder / f"{index:04}{suffix}.png"
        if not path.is_file():
            break
        picture = plt.imread(path)[..., :3]
        pictures.append(np.pad(picture, ((0, 0), (0, 1), (0, 0)), constant_values=1))
    return np.concatenate(pictures, axis=1) if pictures else None


def draw_images(rows, name):
    """One strip a trial, methods down and transforms across, over the full-precision strip of the same noise."""
    kept = [(row, strip(row["base"] / row["folder"], "")) for row in rows]
    drawn = [(row, picture) for row, picture in kept if picture is not None]
    if not drawn:
        return None, {}
    groups = list(dict.fromkeys((row["method"], row["label"]) for row, _ in drawn))[:MOST_ROWS]
    transforms = distinct([row for row, _ in drawn], "transform")
    height, width = drawn[0][1].shape[:2]
    cell = min(3.2, 14 / len(transforms))
    figure, grid = plt.subplots(len(groups) + 1, len(transforms), squeeze=False, layout="constrained",
                                figsize=(cell * len(transforms) + 0.6, (cell * height / width + 0.34) * (len(groups) + 1) + 0.8))
    for axes in grid.flat:
        axes.set_axis_off()

    def show(axes, picture, label):
        axes.imshow(picture, interpolation="nearest" if picture.shape[0] <= 128 else "antialiased")
        axes.set_title(label, fontsize=8, pad=2)

    reference = strip(drawn[0][0]["base"] / drawn[0][0]["folder"], ".fp")
    if reference is not None:
        show(grid[0][0], reference, "full precision")
    count = 0
    for row, picture in drawn:
        group = (row["method"], row["label"])
        if group not in groups:
            continue
        ratio = f"{row['latent_sqnr']:.2f} dB" if finite(row["latent_sqnr"]) else "equal"
        label = f"{row['method']}, {row['transform']}: {ratio}" + (f"\n{row['label']}" if row["label"] else "")
        show(grid[1 + groups.index(group)][transforms.index(row["transform"])], picture, label)
        count += 1
    figure.suptitle(name, fontsize=10)
    bits = sorted({(row["weight_bits"], row["activation_bits"]) for row, _ in drawn}, key=str)
    text = f"SQNR of final latents against full precision from the same noise, mean over {amount([row for row, _ in drawn], 'images', 'images')}; their intervals are in the table. {rows[0]['protocol']}."
    if len(bits) == 1 and finite(*bits[0]):
        text += " Average bits: weights {:g}, activations {:g}.".format(*bits[0])
    if count < len(rows):
        text += f" Not shown: {len(rows) - count} trials" + (", some of which kept no picture." if len(drawn) < len(rows) else ".")
    caption(figure, text)
    return figure, {"pictures": count}


# ---- where error enters ----------------------------------------------------------------------------------------------


def draw_steps(rows, name):
    """Left: every step from the full-precision input, so each step's own error. Right: free running, so what has piled up."""
    drawn = [r for r in rows if finite(r["step"]) and (finite(r["noise_sqnr"]) or finite(r["way_sqnr"]))]
    if not drawn:
        return None, {}
    shown, note = shown_series(drawn)
    methods, transforms, colours, styles = looks_of(shown)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    lines(left, drawn, shown, "step", "noise_sqnr", colours, styles)
    lines(right, drawn, shown, "step", "way_sqnr", colours, styles)
    for one in shown:  # the lowest and highest image of every step
        band = sorted((r for r in drawn if (r["method"], r["transform"], r["label"]) == one and finite(r["step"], r["noise_low"], r["noise_high"])),
                      key=lambda r: r["step"])
        if band:
            left.fill_between([r["step"] for r in band], [r["noise_low"] for r in band], [r["noise_high"] for r in band], color=colours[one[0]],
                              alpha=0.15, linewidth=0)
    left.set_title("denoiser's output from full-precision inputs")
    right.set_title("latent behind the step, free running")
    for axes in (left, right):
        axes.set_xlabel("denoising step, from 0 (noise) to the image")
        axes.set_ylabel("SQNR in dB")
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend(right, methods, transforms, "lines")
    figure.suptitle(name, fontsize=10)
    caption(figure, f"n = {amount(drawn, 'images', 'images')} whose steps are traced; means, on the left with bands from the lowest to the highest image (the records keep "
            f"means only of what is on the right). Left: teacher-forced, a step's own error. Right: error of all steps so far.{note}")
    return figure, {"lines": len(shown)}


def draw_blocks(rows, name):
    """Mean over the slots of a block, and its worst slot."""
    drawn = [r for r in rows if finite(r["block"], r["mean_sqnr_db"], r["least_sqnr_db"])]
    if not drawn:
        return None, {}
    shown, note = shown_series(drawn)
    methods, transforms, colours, styles = looks_of(shown)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    lines(left, drawn, shown, "block", "mean_sqnr_db", colours, styles)
    lines(right, drawn, shown, "block", "least_sqnr_db", colours, styles)
    left.set_title("mean over the slots of a block")
    right.set_title("worst slot of a block")
    for axes in (left, right):
        axes.set_xlabel("block")
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.set_ylabel("SQNR of quantized activations in dB")
    legend(right, methods, transforms, "lines")
    figure.suptitle(name, fontsize=10)
    worst = {}
    for r in drawn:
        kind = r["least_slot"].split(".", 2)[-1]
        worst[kind] = worst.get(kind, 0) + 1
    often = ", ".join(f"{kind} ({n})" for kind, n in sorted(worst.items(), key=lambda item: -item[1])[:4])
    caption(figure, f"n = {amount(drawn, 'samples', 'samples')} a slot, {amount(drawn, 'slots', 'slots')} a block, on the way of the full-precision model. Left the mean over "
            f"the slots, right the lowest of them; there is no interval over samples, which the records sum. The worst slot is most often: {often}.{note}")
    return figure, {"lines": len(shown)}
