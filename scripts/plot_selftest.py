"""The self-test of plot.py: made-up records through every figure, with counts that a wrong figure would miss."""

import csv
import pathlib
import tempfile

METHODS, TRANSFORMS = ("rtn", "smoothquant", "quarot"), ("identity", "haar", "dct")
PROTOCOL = "context 2048, 4 windows, text wikitext2-test 173c87a5, tokenizer 0a1b2c3d, bos start"


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def perplexity_rows():
    rows = []
    for i, method in enumerate(METHODS):
        for j, transform in enumerate(TRANSFORMS):
            value = 24.15 * 10 ** (2.2 / (1 + i + j))
            rows.append({"id": f"{i}{j}", "model": "made-up", "method": method, "transform": transform, "label": "", "value": value,
                         "low": value / 1.2, "high": value * 1.2, "n": 4, "fp": 24.15, "activation_bits": 4.125, "kv_bits": 4.125,
                         "weight_bits": 4, "protocol": PROTOCOL})
    rows[-1]["low"] = rows[-1]["high"] = ""  # an interval is not always known
    rows.append({**rows[0], "id": "x", "transform": "wht", "value": "inf"})  # must be left out, and counted as such
    return rows


def bound_rows(all_bits):
    rows = []
    for method in METHODS:
        for transform in TRANSFORMS:
            for bits in all_bits:
                for layer in range(6):
                    signal = 10.0 ** (layer + 1)
                    b1 = signal * 600 / (2 ** bits - 1) ** 2 / (1 + TRANSFORMS.index(transform))
                    rows.append({"id": "0", "model": "made-up", "method": method, "transform": transform, "label": f"bits {bits}",
                                 "slot": f"layers.{layer}.mlp.down_proj.input", "kind": "linear input", "layer": layer, "tokens": 2048,
                                 "features": 576, "samples": 4, "bits": bits, "signal": signal, "error": b1 / (40 + 5 * layer), "b1": b1,
                                 "b2": b1 / 20, "b3": b1 / 60, "b4": min(signal, b1 / 20), "b5": b1 / 55, "ratio": 1 / 40, "worst_ratio": 0.03,
                                 "sqnr_db": 12, "energy_share": 0.3, "theorem": "holds"})
    rows[0]["worst_ratio"] = 1.5                            # one finding
    rows[1] = {**rows[1], "theorem": "symmetric grid", "worst_ratio": 2}  # not one: the conditions do not hold
    rows[2]["error"] = 0                                    # cannot stand on a log axis
    return rows


def energy_rows():
    rows, edges = [], [0, 1, 2, 4, 8, 16, 32, 64, 128, 512, 2048]
    for method in METHODS:
        for transform in TRANSFORMS:
            for kind in ("linear input", "key cache", "value cache"):
                for low, high in zip(edges, edges[1:]):
                    flat = transform == "identity"
                    rows.append({"id": "0", "model": "made-up", "method": method, "transform": transform, "label": "", "kind": kind,
                                 "slots": 120 if kind == "linear input" else 30, "tokens": 2048, "row_from": low, "row_to": high,
                                 "energy": 1, "relative": 1 if flat else (30 + 9 * TRANSFORMS.index(transform)) / (low + 1) ** (0.4 + 0.1 * METHODS.index(method)), "error": 0.1, "bits": 8 if high <= 64 else 4, "samples": 4})
    return rows


def image_rows(folder):
    """Two methods by two transforms, of which one trial has kept no picture and one equals its reference."""
    import numpy as np
    from plot_looks import plt

    rows = []
    for i, method in enumerate(METHODS[:2]):
        for j, transform in enumerate(("identity", "haar2d")):
            name = f"{i}{j}"
            rows.append({"id": name, "model": "made-up", "method": method, "transform": transform, "label": "", "folder": f"../files/{name}",
                         "images": 2, "latent_sqnr": "" if i + j == 0 else 5 + i + j, "activation_bits": 4.0625, "weight_bits": 4,
                         "protocol": "2 images of classes in turn"})
            if i + j == 2:
                continue
            (folder / ".." / "files" / name).mkdir(parents=True)
            for index in range(2):
                for suffix in ("", ".fp"):
                    plt.imsave(folder / ".." / "files" / name / f"{index:04}{suffix}.png", np.full((32, 32, 3), 0.3 * (1 + index)))
    return rows


def step_rows():
    return [{"id": "0", "model": "made-up", "method": method, "transform": transform, "label": "", "step": step, "steps": 5, "images": 2,
             "noise_sqnr": 10 + step, "noise_low": 9 + step, "noise_high": 11 + step, "way_sqnr": 20 - step}
            for method in METHODS for transform in ("identity", "haar2d") for step in range(5)]


def block_rows():
    return [{"id": "0", "model": "made-up", "method": method, "transform": transform, "label": "", "block": block, "slots": 6, "samples": 80,
             "signal": 1, "error": 0.1, "sqnr_db": 10, "mean_sqnr_db": 10 + block, "least_sqnr_db": 6 + block,
             "least_slot": f"transformer_blocks.{block}.ff.net.2.input"}
            for method in METHODS for transform in ("identity", "haar2d") for block in range(3)]


def quiet(_):
    pass


def curve_rows():
    """Three transforms over average bits with three seeds each, and a single point of another kind."""
    rows = []
    for transform in TRANSFORMS:
        for bits in (4.0, 4.03, 4.125, 4.5, 5.0):
            for seed in range(3):
                rows.append({"id": "0", "model": "made-up", "method": "quarot", "transform": transform, "series": "kind=two_level", "axis": "average bits",
                             "x": bits, "metric": "perplexity", "unit": "", "value": 24 + (9 - TRANSFORMS.index(transform)) ** (5 - bits) + seed / 10, "low": "",
                             "high": "", "n": 4, "fp": 24.15, "lower_is_better": 1, "protocol": PROTOCOL, "over": "windows"})
    rows.append({**rows[0], "series": "kind=integer", "value": 25})
    rows.append({**rows[0], "value": "nan"})
    return rows


def colour_faults():
    """A method has one colour whatever is drawn beside it, no other shipped method has it, and shades of it stay apart."""
    from plot_looks import COLOURS, FURTHER_COLOURS, method_colours, shades

    faults = []
    if len({*COLOURS.values(), *FURTHER_COLOURS}) != len(COLOURS) + len(FURTHER_COLOURS):
        faults.append("two methods share a colour")
    for name in COLOURS:
        if method_colours([name])[name] != method_colours([*COLOURS, "somebody's"])[name]:
            faults.append(f"{name} changes its colour with what is drawn beside it")
    if len(set(shades(COLOURS["quarot"], 12))) != 12:
        faults.append("12 kinds of one method are not 12 shades")
    return faults


def older(folder, name, column):
    """The figure's file as a program before that column wrote it."""
    with open(folder / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write(folder / f"{name}.csv", [{key: value for key, value in row.items() if key != column} for row in rows])


def run(draw):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "plots"
        folder.mkdir()
        write(folder / "perplexity.csv", perplexity_rows())
        write(folder / "energy.csv", energy_rows())
        write(folder / "bound.csv", bound_rows([4]))
        faults = colour_faults()

        def expect(what, got, wanted):
            if got != wanted:
                faults.append(f"{what}: {got}, should be {wanted}")

        expect("perplexity", draw("perplexity", folder, folder, quiet), {"perplexity": {"bars": 9, "log": True}})
        expect("energy", draw("energy", folder, folder, quiet), {"energy": {"lines": 27}})
        expect("bound", draw("bound", folder, folder, quiet), {"bound": {"points": 53, "violations": 1}})
        write(folder / "bound.csv", bound_rows([2, 4, 8]))
        expect("bound over bits", draw("bound", folder, folder, quiet), {"bound": {"points": 161, "violations": 1}})
        write(folder / "perplexity.csv", [perplexity_rows()[-1]])
        expect("nothing finite", draw("perplexity", folder, folder, quiet), {})
        # Values of different protocols may not share axes.
        rows = perplexity_rows()
        write(folder / "perplexity.csv", rows + [{**row, "protocol": "another"} for row in rows])
        expect("protocols", sorted(draw("perplexity", folder, folder, quiet)), ["perplexity-1", "perplexity-2"])
        write(folder / "images.csv", image_rows(folder))
        write(folder / "steps.csv", step_rows())
        write(folder / "blocks.csv", block_rows())
        expect("images", draw("images", folder, folder, quiet), {"images": {"pictures": 3}})
        expect("steps", draw("steps", folder, folder, quiet), {"steps": {"lines": 6}})
        expect("blocks", draw("blocks", folder, folder, quiet), {"blocks": {"lines": 6}})
        write(folder / "curves.csv", curve_rows())
        expect("curves", draw("curves", folder, folder, quiet), {"curves": {"lines": 4, "points": 46}})
        older(folder, "curves", "over")
        expect("curves of an older file", draw("curves", folder, folder, quiet), {"curves": {"lines": 4, "points": 46}})
        older(folder, "energy", "samples")
        expect("energy of an older file", draw("energy", folder, folder, quiet), {"energy": {"lines": 27}})
        for stem in ("curves", "perplexity", "energy", "bound", "images", "steps", "blocks"):
            for suffix in ("png", "svg"):
                size = (folder / f"{stem}.{suffix}").stat().st_size
                if size < 10_000:
                    faults.append(f"{stem}.{suffix} has {size} bytes: it is empty")
    for fault in faults:
        print(f"plot.py --self-test: {fault}")
    print("plot.py --self-test:", "failed" if faults else "9 figures as they should be")
    return 1 if faults else 0
