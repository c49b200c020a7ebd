#!/usr/bin/env python3
"""Mean and covariance of the test images in the classifier's features, which the metric `frechet` measures images against.

    scripts/dit/statistics.py [--classifier results/cifar10_dit/classifier.safetensors] [--data ../shared/data/cifar10]

Writes NAME.statistics.safetensors beside the classifier NAME.safetensors: mean [D], covariance [D, D] (unbiased), and the
SHA-256 of the classifier they belong to. Write it again whenever the classifier is trained again.
"""
import argparse
import hashlib
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from dit import checkpoint, classifier, data  # noqa: E402

import torch  # noqa: E402


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--classifier", type=pathlib.Path, default=ROOT / "results" / "cifar10_dit" / "classifier.safetensors")
    arguments.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data" / "cifar10")
    arguments.add_argument("--images", choices=("jpeg", "exact"), default="jpeg",
                           help="jpeg: 10,000 test images at quality 75, as the model was trained on; exact: 1,000 without loss")
    options = arguments.parse_args()
    try:
        model, _ = classifier.read(options.classifier)
        images, _ = data.load(options.data, "test", options.images)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"statistics.py: {error}")
    features = classifier.apply(model.features, images).double()
    config = {"classifier_sha256": hashlib.sha256(options.classifier.read_bytes()).hexdigest(), "images": len(images), "kind": options.images}
    path = options.classifier.with_suffix(".statistics.safetensors")
    checkpoint.write_safetensors(path, {"mean": features.mean(0).float(), "covariance": torch.cov(features.T).float()},
                                 {"config": json.dumps(config, sort_keys=True)})
    print(f"{path}: {path.stat().st_size:,} bytes, {len(images)} images")


if __name__ == "__main__":
    main()
