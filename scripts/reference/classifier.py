#!/usr/bin/env python3
"""What scripts/dit/classifier.py, in PyTorch, gives for made-up images with the committed weights: tests/golden/classifier.json.

    scripts/reference/classifier.py [--check]

Written again whenever the classifier is trained again; --check compares without writing. Needs torch.
"""
import hashlib
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from dit import classifier, data  # noqa: E402

import torch  # noqa: E402

WEIGHTS = ROOT / "results" / "cifar10_dit" / "classifier.safetensors"
GOLDEN = ROOT / "tests" / "golden" / "classifier.json"
IMAGES, SHOWN = 24, 3


def pattern(k):
    """Image k; tests/unit/eval/test_image_judges.cpp makes the same."""
    y, x, c = torch.meshgrid(torch.arange(32), torch.arange(32), torch.arange(3), indexing="ij")
    return (((x * (3 + k) + y * (7 + 2 * k) + c * 40 * (k + 1)) * 5 + x * y) % 256).to(torch.uint8).permute(2, 0, 1)


def main():
    model, _ = classifier.read(WEIGHTS)
    with torch.no_grad():
        features = model.features(data.to_float(torch.stack([pattern(k) for k in range(IMAGES)])))
        logits = model.linear(features)
    half = IMAGES // 2
    golden = {"classifier_sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
              "logits": logits[:SHOWN].tolist(), "features": features[:SHOWN].tolist(),
              "frechet": classifier.frechet(features[:half], features[half:])}
    if "--check" in sys.argv[1:]:
        old = json.loads(GOLDEN.read_text())
        same = old["classifier_sha256"] == golden["classifier_sha256"] and all(
            abs(a - b) < 1e-4 for x, y in zip(old["logits"], golden["logits"]) for a, b in zip(x, y))
        print("tests/golden/classifier.json", "is as it should be" if same else "differs")
        return 0 if same else 1
    GOLDEN.write_text(json.dumps(golden) + "\n")
    print(f"{GOLDEN}: {GOLDEN.stat().st_size:,} bytes; frechet {golden['frechet']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
