"""Samples of a trained image model, what the classifier says of them, and the model card."""
import hashlib
import json
import shutil

import torch

from dit import checkpoint, classifier, data
from dit.model import ddim

SAMPLES, MEASURES, CARD, CURVE = "samples.png", "samples.json", "README.md", "loss.png"
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
AT_ONCE = 40


def draw(model, labels, options):
    """Images [N, 3, 32, 32] uint8. Image i depends on the seed, on i and on its label, not on how many are drawn."""
    side, images = model.config.sample_size, []
    generator = torch.Generator().manual_seed(options.seed)
    for part in labels.split(AT_ONCE):
        noise = torch.stack([torch.randn(3, side, side, generator=generator) for _ in part])
        images.append(data.to_bytes(ddim(model, noise, part, options.steps, options.guidance)))
        print(f"{sum(map(len, images))} of {len(labels)} images", flush=True)
    return torch.cat(images)


def reduced(images, side):
    """Averaged to side x side and enlarged again: a yardstick for the distance."""
    return data.to_bytes(data.to_float(images, side).repeat_interleave(data.SIDE // side, 2).repeat_interleave(data.SIDE // side, 3))


def sample(options):
    """Writes SAMPLES, a grid of ten rows, and MEASURES below options.output."""
    model = checkpoint.read_pipeline(options.checkpoint)
    judge, about = classifier.read(options.classifier)
    classes = len(data.CLASSES)
    count = max(options.count // classes, options.per_class) * classes
    labels = torch.arange(count) % classes  # in turn, so that the grid's images are the first ones
    images = draw(model, labels, options)
    options.output.mkdir(parents=True, exist_ok=True)
    shown = images[: options.per_class * classes].view(options.per_class, classes, 3, data.SIDE, data.SIDE).transpose(0, 1)
    data.write_grid(options.output / SAMPLES, data.to_float(shown.flatten(0, 1)), options.per_class, 3)

    hits = classifier.apply(judge, images).argmax(1) == labels
    test, _ = data.load(options.data, "test", options.images)
    train, _ = data.load(options.data, "train", options.images, 20 * count)
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(options.seed))[:count]]
    reference = classifier.apply(judge.features, test)
    measures = {
        "checkpoint_sha256": hashlib.sha256((options.checkpoint / WEIGHTS).read_bytes()).hexdigest(),
        "images": count, "ddim_steps": options.steps, "guidance": options.guidance, "seed": options.seed,
        "class_accuracy": round(hits.float().mean().item(), 4),
        "class_accuracy_by_class": {name: round(hits[labels == i].float().mean().item(), 4) for i, name in enumerate(data.CLASSES)},
        "classifier_accuracy_on_test_images": {name: float(value) for name, value in about.items() if name.startswith("test_accuracy")},
    }
    if count > classifier.FEATURES:
        for name, these in (("samples", images), ("training_images", train), ("training_images_reduced_to_16x16", reduced(train, 16)),
                            ("training_images_reduced_to_8x8", reduced(train, 8))):
            measures[f"frechet_distance_of_{name}"] = round(classifier.frechet(classifier.apply(judge.features, these), reference), 4)
    checkpoint.write_json(options.output / MEASURES, measures)
    print(json.dumps(measures, indent=2))


def curve(lines, path):
    """Training and held-out loss over images seen, one colour per image side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for color, side in zip(("tab:green", "tab:orange", "tab:blue"), sorted({line["side"] for line in lines})):
        for field, style, label in (("loss", "-", "training"), ("held_out", "o", "test images, averaged weights")):
            points = [(line["images"] / 1000, line[field]) for line in lines if line["side"] == side and field in line]
            if points:
                axes.plot(*zip(*points), style, color=color, markersize=5, linewidth=1, label=f"{side}x{side}, {label}")
    axes.set(xlabel="images seen (thousands)", ylabel="weighted squared error of the noise", yscale="log")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def card(options):
    """Copies the run's checkpoint to options.output/checkpoint and writes CURVE and CARD beside what sample wrote there."""
    run, output = options.run_folder, options.output
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    if not any("held_out" in line for line in lines):
        raise ValueError(f"{run / 'log.jsonl'}: no held-out loss yet; the run has not ended, or had --grid-minutes 0")
    measures = json.loads((output / MEASURES).read_text())
    weights = run / "checkpoint" / WEIGHTS
    if hashlib.sha256(weights.read_bytes()).hexdigest() != measures["checkpoint_sha256"]:
        raise ValueError(f"{output / MEASURES}: measured on another checkpoint than {weights}; run sample again")
    if (run / "checkpoint") != (output / "checkpoint"):
        shutil.copytree(run / "checkpoint", output / "checkpoint", dirs_exist_ok=True)
    curve(lines, output / CURVE)
    tensors, _ = checkpoint.read_safetensors(weights)
    parameters = sum(tensor.numel() for name, tensor in tensors.items()
                     if ".norm1.emb." not in name or name.startswith("transformer_blocks.0."))
    (output / CARD).write_text(text(options, lines, measures, parameters, weights.stat().st_size))
    print(f"{output / CARD}: look at {output / SAMPLES} and check that its verdict is true")


DISTANCE = """Distance: Frechet distance to the 10,000 test images in the features of `classifier.safetensors` (scripts/dit/classifier.py), a small
network trained here. It compares models of this repository with each other, is biased upwards by the small number of images (so the
yardsticks use the same number), and is no FID.

"""


def text(options, lines, measures, parameters, size):
    last, sides = lines[-1], sorted({line["side"] for line in lines})
    held_out = [line for line in lines if "held_out" in line][-1]
    config = json.loads((options.run_folder / "checkpoint" / "transformer" / "config.json").read_text())
    seen, before = [], 0
    for side in sides:
        here = max(line["images"] for line in lines if line["side"] == side)
        seen.append(f"{here - before:,} of {side}x{side}")
        before = here
    commands, accuracy = "\n".join(options.lines), measures["classifier_accuracy_on_test_images"]
    rows = [
        ("parameters", f"{parameters:,} (the condition's embedder counted once; the file repeats it per block: {size:,} bytes)"),
        ("shape", f"{config['num_layers']} blocks, {config['num_attention_heads']} heads x {config['attention_head_dim']}, "
                  f"patch {config['patch_size']}, {(config['sample_size'] // config['patch_size'])**2} tokens of a 32x32 image, no VAE"),
        ("training", f"{last['step']:,} steps, {last['images']:,} images ({', '.join(seen)}), {last['seconds'] / 60:.0f} minutes, "
                     f"{options.machine}"),
        ("held-out loss", f"{held_out['held_out']:.4f} weighted, {held_out['held_out_noise']:.4f} plain (256 test images, averaged weights)"),
        ("samples", f"DDIM, {measures['ddim_steps']} steps, guidance {measures['guidance']:g}, seed {measures['seed']}, {measures['images']} images"),
        ("class accuracy of samples", f"{100 * measures['class_accuracy']:.1f} % (chance 10 %; the classifier on test images: "
                                      + ", ".join(f"{100 * value:.1f} % {name.removeprefix('test_accuracy_')}" for name, value in accuracy.items()) + ")"),
    ]
    rows += [("distance of " + name.removeprefix("frechet_distance_of_").replace("_", " "), f"{value:.3f}")
             for name, value in measures.items() if name.startswith("frechet")]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    distance = DISTANCE if any(name.startswith("distance of") for name, _ in rows) else ""
    return f"""# A diffusion transformer on CIFAR-10

A class-conditional diffusion transformer that everybody can run, trained by [train_dit.py](../../scripts/train_dit.py) for the
experiments with image models. `checkpoint/` is in diffusers' layout (`DiTTransformer2DModel`, `DDIMScheduler`): noise prediction on
pixels in [-1, 1], linear betas, 1000 steps; label {config['num_embeds_ada_norm']} is "no class".

**Are samples recognisable?** {options.verdict}

![ten classes in rows: {", ".join(data.CLASSES)}]({SAMPLES})

| | |
| --- | --- |
{table}

{distance}![loss]({CURVE})

The jumps are changes of the image size: training begins on images averaged down, where a step costs little.

**Data.** CIFAR-10 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"), 50,000 training images at JPEG quality
75, so faint block artefacts are learned too. The data set carries no explicit licence; its author asks for citation.

**Again.** The image model by the first command{'s' * (len(options.lines) > 1)}, then its judge, its samples and this page.

```
{commands}
scripts/train_dit.py classifier --minutes 9.5 --epochs 6 --output results/cifar10_dit/classifier.safetensors
scripts/train_dit.py sample --checkpoint runs/cifar10_dit/checkpoint --guidance {measures['guidance']:g} --count {measures['images']}
scripts/train_dit.py card --run runs/cifar10_dit --command-line "..." --machine "..." --verdict "..."
```

A run bounded by minutes goes as far as the machine does, so another machine, or the same one less busy, ends elsewhere; a run bounded
by `--steps` gives the same bytes again on one kind of machine.
"""
