#!/usr/bin/env python3
"""Makes lpips.safetensors, which the metric `lpips` reads, of two files that others publish.

    scripts/lpips_weights.py --alexnet alexnet-owt-7be5be79.pth --lin lpips-0.1.4-py3-none-any.whl

Needs torch; the one that scripts/setup.sh installs will do (.venv/bin/python).
"""
import argparse
import hashlib
import io
import json
import pathlib
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

IN_WHEEL = "lpips/weights/v0.1/alex.pth"
ALEXNET = "7be5be79"  # how the SHA-256 of torchvision's file begins, which its name says
LIN = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # of IN_WHEEL in lpips 0.1.4
LIN_00 = "18720f55913d0af89042f13faa7e536a6ce1444a0914e6db9461355ece1e8cd5"  # of version 0.0: same shapes, other network
# name of a convolution -> shape of its weight; the weights of LPIPS belong to its first number.
CONVOLUTIONS = {"features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3), "features.8": (256, 384, 3, 3),
                "features.10": (256, 256, 3, 3)}

DESCRIPTION = """Makes lpips.safetensors, which the metric `lpips` reads: AlexNet's convolutions and the weights of LPIPS 0.1 for them."""
EPILOG = f"""where the files come from:
  --alexnet   torchvision's AlexNet, alexnet-owt-{ALEXNET}.pth (244 MB). torchvision fetches it into ~/.cache/torch/hub/checkpoints:
                python3 -c 'import torchvision; torchvision.models.alexnet(weights="IMAGENET1K_V1")'
  --lin       {IN_WHEEL}, or the wheel of the lpips package, which holds it:
                python3 -m pip download --no-deps lpips==0.1.4

what to do with the result (10 MB):
  export STAMP_LPIPS=/folder/of/it      or in an experiment file:  images: {{lpips: /folder/of/it}}
  evaluate: [image_sqnr, lpips]
"""


class Unusable(Exception):
    pass


def read_bytes(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error


def tensors_of(data, place):
    """A state_dict that torch.save wrote. Code in it is not run."""
    import torch

    try:
        # LPIPS' weights were saved on a GPU.
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # of bytes that are something else torch makes errors of many kinds
        reason = " ".join([type(error).__name__, *str(error).splitlines()[:1]]).partition(". ")[0]
        raise Unusable(f"{place}: no file of tensors that torch.save wrote ({reason})") from error
    if not isinstance(state, dict):
        raise Unusable(f"{place}: holds {type(state).__name__}, wanted: a state_dict, which has names and tensors")
    return state


def take(state, place, name, shape, hint):
    import torch

    tensor = state.get(name)
    if not isinstance(tensor, torch.Tensor):
        some = ", ".join(sorted(map(str, state))[:4])
        raise Unusable(f'{place}: has no tensor "{name}" among its {len(state)} ({some}, ...); {hint}')
    if tuple(tensor.shape) != shape:
        raise Unusable(f"{place}: {name} has shape {list(tensor.shape)}, expected {list(shape)}; {hint}")
    return tensor.float()


def alexnet(path):
    """({name: tensor}, SHA-256 of the file)"""
    data = read_bytes(path)
    state = tensors_of(data, path)
    hint = f"wanted: torchvision's alexnet-owt-{ALEXNET}.pth"
    out = {}
    for name, shape in CONVOLUTIONS.items():
        out[name + ".weight"] = take(state, path, name + ".weight", shape, hint)
        out[name + ".bias"] = take(state, path, name + ".bias", shape[:1], hint)
    return out, hashlib.sha256(data).hexdigest()


def lin(path):
    data, place = read_bytes(path), path
    if zipfile.is_zipfile(io.BytesIO(data)):  # a wheel, or a newer file of torch.save
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if IN_WHEEL in archive.namelist():
                data, place = archive.read(IN_WHEEL), f"{path}: {IN_WHEEL}"
            elif path.suffix == ".whl":
                raise Unusable(f"{path}: holds no {IN_WHEEL}; wanted: the wheel of the package lpips")
    digest = hashlib.sha256(data).hexdigest()
    if digest == LIN_00:
        raise Unusable(f"{place}: the weights of version 0.0; wanted: {IN_WHEEL}")
    state = tensors_of(data, place)
    hint = f"wanted: {IN_WHEEL} of the package lpips"
    return {f"lin{i}.model.1.weight": take(state, place, f"lin{i}.model.1.weight", (1, shape[0], 1, 1), hint)
            for i, shape in enumerate(CONVOLUTIONS.values())}, digest


def main():
    parser = argparse.ArgumentParser(description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alexnet", type=pathlib.Path, required=True, metavar="FILE", help="torchvision's AlexNet")
    parser.add_argument("--lin", type=pathlib.Path, required=True, metavar="FILE", help="alex.pth of version 0.1, or the wheel of lpips")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("lpips.safetensors"), metavar="FILE", help="default: lpips.safetensors")
    options = parser.parse_args()
    try:
        from dit.checkpoint import write_safetensors
    except ImportError as error:
        sys.exit(f"lpips_weights.py: {error}: run it with a Python that has torch, such as .venv/bin/python after scripts/setup.sh")
    try:
        features, features_digest = alexnet(options.alexnet)
        weights, weights_digest = lin(options.lin)
        if not features_digest.startswith(ALEXNET):
            print(f"note: {options.alexnet} is not the published file: its SHA-256 begins with {features_digest[:8]}, not {ALEXNET}", file=sys.stderr)
        if weights_digest != LIN:
            print(f"note: {options.lin} has other weights than lpips 0.1.4: SHA-256 {weights_digest[:8]}, not {LIN[:8]}", file=sys.stderr)
        config = {"alexnet_sha256": features_digest, "lin_sha256": weights_digest, "version": "0.1"}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(options.output, {**features, **weights}, {"config": json.dumps(config, sort_keys=True)})
    except Unusable as error:
        sys.exit(f"lpips_weights.py: {error}")
    except OSError as error:
        sys.exit(f"lpips_weights.py: {options.output}: {error.strerror}")
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(options.output.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
