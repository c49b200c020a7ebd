"""LPIPS: ours against the lpips package. AlexNet's convolutions come from a generator: its own are no part of any package.

--write  writes tests/golden/lpips_tiny.safetensors, a network of AlexNet's layers with few channels and what the package makes of it in double
         precision; the unit tests hold ours to it, and this script the package of today.
AlexNet's own size with the package's weights of LPIPS goes through scripts/lpips_weights.py and lpips_dump, pairs of PNG files.

Tolerance: a layer adds d = sum w (x - y)^2 of feature vectors x, y of length 1; an error e of those moves it by up to 2 sqrt(d) e. Single
precision has e = 4e-7 here, the package's as well as ours, and 2e-6 is allowed. Leaving a step out, the scaling layer or the way from
[0, 1] to [-1, 1], has to move the distances by a thousand times that.
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import common
from images import pattern

GOLDEN = os.path.join(common.REPOSITORY, "tests", "golden", "lpips_tiny.safetensors")
TOLERANCE = 2e-6
CHANNELS = (8, 12, 16, 12, 8)
# height, width, seed of the first image, seed of another one, sixteenths of the other in the second image. 31 is the shortest side; at 64
# the windows of every pool divide, at 45 x 83 and 50 x 38 rows and columns are left over.
PAIRS = ((31, 31, 1, 2, 16), (64, 64, 3, 4, 16), (45, 83, 5, 6, 16), (83, 45, 5, 6, 4), (64, 64, 7, 8, 1), (50, 38, 9, 10, 2))


def import_package():
    try:
        import torchvision  # noqa: F401  lpips has AlexNet's layers from it
    except RuntimeError:
        # Built against CUDA, as registries have it, its operators do not load beside a torch without; the import then stops at two that
        # AlexNet does not use.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_package.library = library  # it holds while somebody holds it
    warnings.filterwarnings("ignore", module="torchvision")  # lpips asks for AlexNet in an older way
    import lpips
    return lpips


def network(lpips, channels, seed, version="0.1"):
    """The package's network; with `channels` its layers in AlexNet's places, kernels and strides, but of these widths."""
    model = lpips.LPIPS(net="alex", version=version, pretrained=not channels, pnet_rand=True, verbose=False)
    generator, before = torch.Generator().manual_seed(seed), 3
    slices = [model.net.slice1, model.net.slice2, model.net.slice3, model.net.slice4, model.net.slice5]
    with torch.no_grad():
        for i, part in enumerate(slices):
            (name, old), = [(name, layer) for name, layer in part.named_children() if isinstance(layer, torch.nn.Conv2d)]
            after = channels[i] if channels else old.out_channels
            layer = torch.nn.Conv2d(before, after, old.kernel_size, old.stride, old.padding)
            # Values keep their size from layer to layer, and about half of them is cut off.
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / layer.weight[0].numel()) ** 0.5)
            layer.bias.copy_(torch.randn(after, generator=generator) * 0.1)
            setattr(part, name, layer)
            if channels:
                judged = torch.nn.Conv2d(after, 1, 1, bias=False)
                judged.weight.copy_(torch.rand(judged.weight.shape, generator=generator))
                model.lins[i].model[1] = judged
            before = after
    return model.eval()


def weights_of(model):
    """Named as torchvision and the package's own file name them."""
    out = {}
    for part in (model.net.slice1, model.net.slice2, model.net.slice3, model.net.slice4, model.net.slice5):
        for name, layer in part.named_children():
            if isinstance(layer, torch.nn.Conv2d):
                out[f"features.{name}.weight"], out[f"features.{name}.bias"] = layer.weight, layer.bias
    for i, layer in enumerate(model.lins):
        out[f"lin{i}.model.1.weight"] = layer.model[1].weight
    return {name: tensor.detach().clone() for name, tensor in out.items()}


def bytes_of(pair):
    height, width, first, other, share = pair
    a, b = pattern(height, width, first).astype(int), pattern(height, width, other).astype(int)
    return a.astype(np.uint8), (((16 - share) * a + share * b) // 16).astype(np.uint8)


def parts(model, pair, normalize=True):
    """What each layer adds for images in [0, 1]."""
    dtype = model.lins[0].model[1].weight.dtype
    x, y = (torch.from_numpy(i.astype(np.float32) / np.float32(255)).to(dtype).permute(2, 0, 1)[None] for i in bytes_of(pair))
    with torch.inference_mode():
        total, each = model(x, y, retPerLayer=True, normalize=normalize)
    each = torch.stack([p.flatten()[0] for p in each]).double()
    assert abs(each.sum() - total.item()) <= 1e-6 * each.sum()
    return each


def all_parts(model, **how):
    return torch.stack([parts(model, pair, **how) for pair in PAIRS])


def errors(a, b):
    """e of every part, see above."""
    return (a - b).abs() / (2 * b.sqrt())


def results(lpips):
    model = network(lpips, CHANNELS, 11)
    weights, single = weights_of(model), all_parts(model)
    return {**weights, "in.pairs": torch.tensor(PAIRS), "out.parts": all_parts(model.double())}, single


def whole(lpips, checks):
    """AlexNet's own widths, the package's weights of LPIPS: a .pth file, the script that users run, and our program."""
    model = network(lpips, None, 12)
    with tempfile.TemporaryDirectory() as folder:
        alexnet, file = os.path.join(folder, "alexnet.pth"), os.path.join(folder, "lpips.safetensors")
        torch.save({name: tensor for name, tensor in weights_of(model).items() if name.startswith("features.")}, alexnet)
        lin = os.path.join(os.path.dirname(lpips.__file__), "weights", "v0.1", "alex.pth")
        subprocess.run([sys.executable, os.path.join(common.REPOSITORY, "scripts", "lpips_weights.py"), "--alexnet", alexnet, "--lin", lin,
                        "--output", file], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made = load_file(file)
        same = all(torch.equal(made[name], tensor) for name, tensor in weights_of(model).items())
        checks.check("scripts/lpips_weights.py keeps every value", same and len(made) == 15)
        pngs = []
        for i, pair in enumerate(PAIRS):
            for image, side in zip(bytes_of(pair), "ab"):
                pngs.append(os.path.join(folder, f"{i}{side}.png"))
                Image.fromarray(image).save(pngs[-1])
        run = subprocess.run([common.program("lpips_dump"), file] + pngs, capture_output=True)
    if run.returncode:
        checks.check("lpips_dump", False, run.stderr.decode().strip())
        return
    ours, theirs = torch.tensor(json.loads(run.stdout), dtype=torch.float64), all_parts(model)
    double = all_parts(model.double())
    checks.check("ours, AlexNet's size, against the package", errors(ours, double).max() <= TOLERANCE,
                 f"largest error of features {errors(ours, double).max():.1e}; the package in single precision: {errors(theirs, double).max():.1e}")


def main():
    lpips = import_package()
    made, single = results(lpips)
    if sys.argv[1:] == ["--write"]:
        save_file({name: tensor.contiguous() for name, tensor in made.items()}, GOLDEN,
                  metadata={"oracle": f"lpips 0.1.4, torch {torch.__version__}, in double precision"})
        print(GOLDEN, os.path.getsize(GOLDEN))
        return
    checks = common.Checks("LPIPS: the lpips package against what the unit tests hold ours to, and against ours at AlexNet's size")
    kept = load_file(GOLDEN)
    checks.check("weights and pairs", all(torch.equal(kept[name], tensor) for name, tensor in made.items() if name != "out.parts"))
    expected = kept["out.parts"]
    for name, found in (("double", made["out.parts"]), ("single", single)):
        worst = errors(found, expected).max().item()
        checks.check(f"the package in {name} precision", worst <= TOLERANCE, f"largest error of features {worst:.1e}")
    model = network(lpips, CHANNELS, 11)
    for name, other in (("images as they are", all_parts(model, normalize=False)), ("no scaling layer", all_parts(network(lpips, CHANNELS, 11, "0.0")))):
        least = errors(other, expected).amax(1).min().item()
        checks.check(f"seen: {name}", least > 1000 * TOLERANCE, f"{least:.1e} in every pair")
    whole(lpips, checks)
    checks.finish()


if __name__ == "__main__":
    main()
