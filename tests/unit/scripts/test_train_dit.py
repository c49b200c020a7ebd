"""train_dit.py: a run is a function of its options whatever interrupts it, and its files hold the model it trained."""

import contextlib
import io
import itertools
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "train_dit.py"
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(SCRIPT.parent))
try:
    import numpy  # noqa: F401
    import PIL  # noqa: F401
    import torch

    import train_dit
    from dit import checkpoint, classifier, data, sampling, training
    from dit.model import SIZES, Config, DiT, ddim

    torch.set_num_threads(1)
except ImportError as error:
    torch, missing = None, error

RUN = ["--cpu", "--images", "random", "--size", "tiny", "--log-every", "1", "--grid-minutes", "0"]


def setUpModule():
    if torch is None:
        raise unittest.SkipTest(f"{missing}: the image model needs torch, numpy and pillow")


def call(*arguments):
    """(exit status, what was printed) of the script within this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            train_dit.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = end.code
            print(code)
    return code, printed.getvalue()


def fixture(name):
    path = SHARED / "fixtures" / name
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not there")
    return path


def steps(folder):
    """Steps in a log that may be being written."""
    path = folder / training.LOG
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def train(self, name, *options):
        code, printed = call("train", *RUN, "--output", self.root / name, *options)
        self.assertEqual(code, 0, printed)
        return printed


class Training(Folder):
    def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(self):
        options = ["--steps", "24", "--save-every", "5", "--seed", "4"]
        self.train("whole", *options)
        process = subprocess.Popen([sys.executable, "-B", str(SCRIPT), "train", *RUN, *options, "--output", str(self.root / "parts")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(step >= 7 for step in steps(self.root / "parts")):
            time.sleep(0.002)
        process.kill()
        self.assertEqual(process.wait(), -signal.SIGKILL, "the run ended before it could be killed")
        self.assertTrue(self.train("parts", *options, "--resume").startswith("180,620 parameters"))

        self.assertEqual(steps(self.root / "parts"), list(range(1, 25)))
        weights = pathlib.Path(training.CHECKPOINT, sampling.WEIGHTS)
        self.assertEqual((self.root / "parts" / weights).read_bytes(), (self.root / "whole" / weights).read_bytes())
        whole, parts = (torch.load(self.root / name / training.STATE, weights_only=True) for name in ("whole", "parts"))
        for state in (whole, parts):
            del state["seconds"]
        self.assert_same(whole, parts)

    def assert_same(self, a, b, path=""):
        self.assertIs(type(a), type(b), path)
        if isinstance(a, dict):
            self.assertEqual(a.keys(), b.keys(), path)
        if isinstance(a, (dict, list)):
            for key in a if isinstance(a, dict) else range(len(a)):
                self.assert_same(a[key], b[key], f"{path}.{key}")
        else:
            self.assertTrue(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, path)

    def test_another_seed_is_another_run(self):
        losses = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            self.train(name, "--steps", 2, "--seed", seed)
            losses.append([json.loads(line)["loss"] for line in (self.root / name / training.LOG).read_text().splitlines()])
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(losses[0], losses[2])

    def test_a_run_by_the_clock_ends_and_a_longer_one_continues_it(self):
        clock = itertools.count(0, 0.25)  # a quarter of a second at every look
        with mock.patch.object(training, "time", types.SimpleNamespace(monotonic=lambda: next(clock))):
            self.train("a", "--minutes", 0.2)
            before = steps(self.root / "a")[-1]
            self.assertIn("complete", self.train("a", "--minutes", 0.2, "--resume"))
            self.train("a", "--minutes", 0.4, "--resume")
        self.assertGreater(before, 2)
        self.assertAlmostEqual(steps(self.root / "a")[-1], 2 * before, delta=2)

    def test_a_pause_skips_no_part_of_the_plan(self):
        ticks = itertools.count()
        clock = lambda: (lambda tick: tick + 300 * (tick >= 20))(next(ticks))  # noqa: E731  five minutes away after 20 seconds
        with mock.patch.object(training, "time", types.SimpleNamespace(monotonic=clock)):
            self.train("a", "--minutes", 6)
        lines = [json.loads(line) for line in (self.root / "a" / training.LOG).read_text().splitlines()]
        after = [line["side"] for line in lines if line["seconds"] > 300]
        # A twentieth of the plan was done before; the half at 16x16 ends 0.45 of 0.95 into what is left.
        self.assertAlmostEqual(after.count(16) / len(after), 0.47, delta=0.1)
        self.assertGreater(len(after), 10)
        self.assertLess(lines[-1]["seconds"], 370)

    def test_what_does_not_fit_is_refused(self):
        self.train("a", "--steps", 1)
        for options, words in (
            (["train", *RUN, "--output", self.root / "b"], "--minutes or --steps"),
            (["train", *RUN, "--output", self.root / "a", "--steps", 2], "holds a run already"),
            (["train", *RUN, "--output", self.root / "b", "--steps", 2, "--resume"], "no run to resume"),
            (["train", *RUN, "--output", self.root / "a", "--steps", 2, "--resume", "--seed", 9], "has 0"),
            (["train", *RUN, "--output", self.root / "b", "--steps", 2, "--threads", 0], "at least 1"),
            (["train", "--cpu", "--size", "tiny", "--data", self.root, "--output", self.root / "c", "--steps", 2], "is missing"),
            (["sample", "--checkpoint", self.root, "--classifier", self.root / "none", "--output", self.root], "is missing"),
            (["sample", "--steps", 0], "1 to 1000"),
        ):
            code, printed = call(*options)
            self.assertNotEqual(code, 0, options)
            self.assertIn(words, printed)

    def test_one_epoch_shows_every_image_once(self):
        trainer = training.Trainer(types.SimpleNamespace(size="tiny", cpu=True, seed=0, images="random"))
        trainer.labels = torch.arange(50)
        trainer.pixels = torch.arange(50)
        seen = torch.cat([trainer.batch(20)[1] for _ in range(5)])
        for epoch in seen.view(2, 50):
            self.assertEqual(epoch.sort().values.tolist(), list(range(50)))
        self.assertFalse(torch.equal(seen[:50], seen[50:]))

    def test_a_muon_update_has_singular_values_near_one(self):
        x = torch.randn(3, 32, 96, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(training.Muon.orthogonal(x))
        self.assertGreater(values.min().item(), 0.6)
        self.assertLess(values.max().item(), 1.3)


class Model(Folder):
    def close(self, name, mine, reference):
        gap = ((mine - reference).abs().max() / reference.abs().max()).item()
        self.assertLess(gap, 1e-5, name)

    def test_it_computes_what_diffusers_computes(self):
        tensors, metadata = checkpoint.read_safetensors(fixture("dit_tiny.safetensors"))
        wanted = {name: tensors.pop(name) for name in list(tensors) if name.startswith(("in.", "out."))}
        model = checkpoint.model_of(Config.of(json.loads(metadata["config"])), tensors)
        with torch.no_grad():
            self.close("sample", model(wanted["in.x"], wanted["in.t"], wanted["in.y"]), wanted["out.sample"])

    def test_sampling_follows_the_trajectory_of_diffusers_ddim(self):
        for name, run in json.loads(fixture("schedulers.json").read_text())["runs"].items():
            if not name.startswith("ddim_"):
                continue
            seen = []

            def model(x, t, labels):
                seen.append((t[0].item(), x.flatten()[0].item()))
                return 0.5 * x + 0.01 * (len(seen) - 1)

            model.config = SIZES["tiny"]
            last = ddim(model, torch.ones(1, 1, 1, 1), torch.zeros(1, dtype=torch.int64), len(run["timesteps"]), 1)
            self.assertEqual([t for t, _ in seen], run["timesteps"])
            trajectory = torch.tensor([x for _, x in seen[1:]] + [last.item()])
            self.close(name, trajectory, torch.tensor(run["trajectory"]))

    def test_guidance_goes_beyond_the_class_away_from_none(self):
        labels = torch.tensor([2, 7])

        def model(x, t, y):
            return torch.where(y == 10, 1.0, y.float())[:, None, None, None].expand_as(x)

        model.config = SIZES["tiny"]

        def guided(x, t, y):  # none + 3 (class - none)
            return (1 + 3 * (y.float() - 1))[:, None, None, None].expand_as(x)

        guided.config = model.config
        noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        self.close("guided", ddim(model, noise, labels, 5, 3.0), ddim(guided, noise, labels, 5, 1))

    def test_a_checkpoint_holds_the_averaged_model(self):
        options = types.SimpleNamespace(size="tiny", cpu=True, seed=0, images="random", rate=None, batch=None, steps=3, minutes=None,
                                        output=self.root)
        trainer = training.Trainer(options)
        trainer.pixels, trainer.labels = data.load(None, "train", "random")
        for _ in range(3):
            trainer.train_step()
        trainer.save()
        read = checkpoint.read_pipeline(self.root / training.CHECKPOINT)
        x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            arguments = x, torch.tensor([20, 900]), torch.tensor([3, 10])
            self.assertTrue(torch.equal(read(*arguments), trainer.averaged()(*arguments)))
            self.assertFalse(torch.equal(read(*arguments), trainer.model(*arguments)))
        self.assertEqual(len(list(read.parameters())), len(list(trainer.model.parameters())))  # the embedder is shared again
        scheduler = json.loads((self.root / training.CHECKPOINT / "scheduler" / "scheduler_config.json").read_text())
        self.assertEqual((scheduler["_class_name"], scheduler["clip_sample"]), ("DDIMScheduler", False))

    def test_a_fresh_model_is_nearer_to_noise_than_silence_is(self):
        model = DiT(SIZES["small"]).initialize(torch.Generator().manual_seed(0))
        x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            error = (model(x, torch.full((4,), 900), torch.arange(4)) - x).square().mean().item()
        self.assertLess(error, 0.7 * x.square().mean().item())

    def test_fields_of_another_kind_of_model_are_refused_by_name(self):
        with self.assertRaisesRegex(ValueError, "activation_fn is 'geglu'"):
            Config.of({**SIZES["tiny"].json(), "activation_fn": "geglu"})


class Judging(Folder):
    def test_folding_keeps_the_function_and_the_file_its_values(self):
        torch.manual_seed(0)
        model = classifier.Classifier(normalized=True)
        x = torch.rand(64, 3, 32, 32) * 2 - 1
        for _ in range(3):
            model(x)  # moves the running statistics
        with torch.no_grad():
            for norm in model.norm:
                norm.weight.uniform_(0.5, 2)
                norm.bias.uniform_(-1, 1)
            model.eval()
            folded = model.folded()
            gap = (model(x) - folded(x)).abs().max() / model(x).abs().max()
        self.assertLess(gap.item(), 1e-5)
        checkpoint.write_safetensors(self.root / "c.safetensors", folded.state_dict(), {"test_accuracy_x": "0.5"})
        read, metadata = classifier.read(self.root / "c.safetensors")
        self.assertEqual(metadata["test_accuracy_x"], "0.5")
        self.assertTrue(torch.equal(read(x), folded(x)))

    def test_the_distance_of_gaussians_is_the_known_one(self):
        x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T  # mean 0, covariance 1 exactly
        scale, shift = torch.tensor([1, 2, 3, 0.5, 1, 1.0]).double(), torch.tensor([0, 1, 0, 0, 2, 0.0]).double()
        self.assertAlmostEqual(classifier.frechet(x, x), 0, places=8)
        expected = shift.square().sum() + (scale - 1).square().sum()
        self.assertAlmostEqual(classifier.frechet(x, x * scale + shift), expected.item(), places=8)

    def test_the_whole_way_from_a_run_to_its_card(self):
        run, out = self.root / "run", self.root / "out"
        code, printed = call("train", "--cpu", "--images", "random", "--size", "tiny", "--steps", 2, "--log-every", 1, "--output", run)
        self.assertEqual(code, 0, printed)
        self.assertEqual(len(list((run / "grids").glob("*.png"))), 2)  # one per image size
        code, printed = call("classifier", "--images", "random", "--epochs", 1, "--output", out / "classifier.safetensors")
        self.assertEqual(code, 0, printed)
        self.assertLess((out / "classifier.safetensors").stat().st_size, 1_500_000)
        sample = ["sample", "--checkpoint", run / "checkpoint", "--classifier", out / "classifier.safetensors", "--output", out,
                  "--images", "random", "--steps", 2, "--count", 140, "--per-class", 2]
        code, printed = call(*sample)
        self.assertEqual(code, 0, printed)
        measures = json.loads((out / sampling.MEASURES).read_text())
        self.assertEqual(measures["images"], 140)
        self.assertGreater(measures["frechet_distance_of_samples"], 0)
        card = ["card", "--run", run, "--output", out, "--command-line", "train a", "--command-line", "train b",
                "--machine", "a test", "--verdict", "No: noise."]
        code, printed = call(*card)
        self.assertEqual(code, 0, printed)
        text = (out / sampling.CARD).read_text()
        for words in ("No: noise.", "train a\ntrain b\n", "by the first commands,"):
            self.assertIn(words, text)
        self.assertIn("2 steps, 24 images (16 of 16x16, 8 of 32x32)", text)
        self.assertTrue((out / "checkpoint" / sampling.WEIGHTS).exists() and (out / sampling.CURVE).exists())
        self.train("other", "--steps", 1, "--seed", 5)
        code, printed = call("card", "--run", self.root / "other", *card[3:])
        self.assertNotEqual(code, 0)


class Data(unittest.TestCase):
    def test_the_files_agree_with_each_other(self):
        folder = SHARED / "data" / "cifar10"
        if not folder.exists():
            self.skipTest(f"{folder} is not there")
        images, labels = data.load(folder, "train", "exact")
        lossy, again = data.load(folder, "train", "jpeg", 4000)
        self.assertTrue(torch.equal(labels, again))
        errors = (images.double() - lossy.double()).square().mean((1, 2, 3))
        quality = 10 * torch.log10(255**2 / errors)
        self.assertAlmostEqual(quality.mean().item(), 30.5, delta=0.1)  # as the data's own page says
        self.assertAlmostEqual(quality.min().item(), 23.1, delta=0.1)

    def test_bytes_survive_the_way_to_values_and_back(self):
        images, _ = data.load(None, "test", "random", 8)
        self.assertTrue(torch.equal(data.to_bytes(data.to_float(images)), images))
        self.assertEqual(data.to_float(images, 8).shape, (8, 3, 8, 8))


if __name__ == "__main__":
    unittest.main()
