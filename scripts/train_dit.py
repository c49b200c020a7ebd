#!/usr/bin/env python3
"""Trains a small image model that everybody can run: a class-conditional diffusion transformer on CIFAR-10.

Pixels of 32x32, noise prediction, 1000 steps with linear betas, labels dropped for classifier-free guidance; the result is
a folder that diffusers reads (DiTTransformer2DModel with a DDIMScheduler). Needs torch, numpy and pillow.

  scripts/train_dit.py train --minutes 75 --output runs/cifar10_dit        # on one core; --threads for more
  scripts/train_dit.py train --minutes 120 --output runs/cifar10_dit --resume

`train_dit.py COMMAND --help` describes each command.
"""
import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "cifar10"
RESULTS = ROOT / "results" / "cifar10_dit"


def add_common(parser):
    """What every command but the card's takes."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the files of CIFAR-10 (default: ../shared/data/cifar10)")
    parser.add_argument("--images", choices=("jpeg", "exact", "random"), default="jpeg",
                        help="all 50,000 at JPEG quality 75 (default), the first 4,000 exactly, or noise for a trial of the program")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="even where there is a GPU")


def add_train(commands):
    parser = commands.add_parser(
        "train", help="train the image model", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains the image model. Writes state.pt (all that --resume needs), log.jsonl, grids/*.png and checkpoint/,\n"
                    "the averaged weights in diffusers' layout. SIGTERM saves and ends; a run continues bit for bit.",
        epilog="examples:\n"
               "  scripts/train_dit.py train --minutes 75 --output runs/cifar10_dit\n"
               "  scripts/train_dit.py train --size base --steps 60000 --threads 8 --output runs/cifar10_dit_base   # with a GPU\n")
    parser.add_argument("--size", choices=("tiny", "small", "base"), default="small",
                        help="tiny: for tests; small: 1.9 M parameters, for a CPU (default); base: 33 M, for a GPU")
    parser.add_argument("--minutes", type=float, help="length of the run by the clock, earlier parts of a resumed run included")
    parser.add_argument("--steps", type=int, help="length of the run in steps; with --minutes, whichever comes first")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --output")
    parser.add_argument("--rate", type=float, help="peak learning rate (default: by size)")
    parser.add_argument("--batch", type=int, help="images of a step at 32x32; twice as many smaller ones (default: by size)")
    parser.add_argument("--log-every", type=int, default=25, metavar="STEPS")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--grid-minutes", type=float, default=10, metavar="MINUTES", help="between sample grids; 0: none")
    add_common(parser)
    parser.set_defaults(run=train, parser=parser)


def train(options):
    from dit.training import STATE, Trainer

    if not options.minutes and not options.steps:
        options.parser.error("give --minutes or --steps")
    there = (options.output / STATE).exists()
    if there != options.resume:
        options.parser.error(f"{options.output} holds " + ("a run already: --resume it, or name another folder" if there
                                                           else "no run to resume"))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / ".gitignore").write_text("*\n")  # a run is no part of the repository
    trainer = Trainer(options)
    if options.resume:
        trainer.load()
    trainer.run()


def add_classifier(commands):
    parser = commands.add_parser(
        "classifier", help="train the classifier that judges samples", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains a small convolutional classifier (scripts/dit/classifier.py) and measures it on the test images.",
        epilog="examples:\n"
               "  scripts/train_dit.py classifier --minutes 10 --output results/cifar10_dit/classifier.safetensors\n"
               "  scripts/train_dit.py classifier --epochs 1 --images random --output runs/trial.safetensors\n")
    parser.add_argument("--epochs", type=int, default=8, help="default 8")
    parser.add_argument("--minutes", type=float, help="shorten the run to this by the clock")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    add_common(parser)
    parser.set_defaults(run=train_classifier, parser=parser)


def train_classifier(options):
    from dit import classifier

    classifier.train(options)


def add_sample(commands):
    parser = commands.add_parser(
        "sample", help="draw a grid of samples and measure them", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Draws samples with DDIM and classifier-free guidance, writes samples.png (a row per class) and samples.json: the\n"
                    "share that the classifier takes for the class asked for, and the Frechet distance to the test images in its features.",
        epilog="examples:\n"
               "  scripts/train_dit.py sample --checkpoint runs/cifar10_dit/checkpoint --output runs/samples\n"
               "  scripts/train_dit.py sample --count 400 --guidance 3 --output runs/samples\n")
    parser.add_argument("--checkpoint", type=Path, default=RESULTS / "checkpoint", help="folder with transformer/ (default: the committed one)")
    parser.add_argument("--classifier", type=Path, default=RESULTS / "classifier.safetensors")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder to write to (default: results/cifar10_dit)")
    parser.add_argument("--per-class", type=int, default=8, help="columns of the grid (default 8)")
    parser.add_argument("--count", type=int, default=0, help="images to measure; above 128 for a distance (default: those of the grid)")
    parser.add_argument("--steps", type=int, default=50, help="of DDIM (default 50)")
    parser.add_argument("--guidance", type=float, default=2.0, help="default 2; 1: none")
    add_common(parser)
    parser.set_defaults(run=sample, parser=parser)


def sample(options):
    from dit import sampling

    if not 1 <= options.steps <= 1000 or options.per_class < 1:
        options.parser.error("--steps: 1 to 1000; --per-class: at least 1")
    sampling.sample(options)


def add_card(commands):
    parser = commands.add_parser("card", help="write the model card of a finished run",
                                 description="Copies the run's checkpoint beside its samples and writes loss.png and README.md.")
    parser.add_argument("--run", dest="run_folder", type=Path, required=True, help="folder of the run")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where sample wrote to (default: results/cifar10_dit)")
    parser.add_argument("--command-line", action="append", required=True, metavar="LINE", dest="lines",
                        help="a command that trained it, as typed; again for each that continued it")
    parser.add_argument("--machine", required=True, help='on what it was trained, as in "one core of a shared machine"')
    parser.add_argument("--verdict", required=True, help="in plain words, after looking: are the samples recognisable?")
    parser.set_defaults(run=card, parser=parser, threads=1)


def card(options):
    from dit import sampling

    sampling.card(options)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    add_classifier(commands)
    add_sample(commands)
    add_card(commands)
    options = parser.parse_args(argv)
    if options.threads < 1:
        parser.error(f"--threads {options.threads}: at least 1")
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{error}: install requirements.txt and requirements-plot.txt, or run scripts/setup.sh")
    torch.set_num_threads(options.threads)
    try:
        options.run(options)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
