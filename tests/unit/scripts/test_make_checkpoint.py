"""make_checkpoint.py: what it writes is a sharded checkpoint with the bytes its seed stands for."""

import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "make_checkpoint.py"
try:
    import numpy
except ImportError:
    numpy = None


def make(out, *options):
    return subprocess.run([sys.executable, "-B", str(SCRIPT), "--out", str(out), *options], capture_output=True, text=True)


def header(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@unittest.skipIf(numpy is None, "numpy is not installed")
class MakeCheckpoint(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def test_shards_tile_their_files_and_the_index_names_every_tensor(self):
        result = make(self.root / "a", "--shape", "tiny", "--shard-gb", "0.0001")
        self.assertEqual(result.returncode, 0, result.stderr)
        index = json.loads((self.root / "a" / "model.safetensors.index.json").read_text())
        config = json.loads((self.root / "a" / "config.json").read_text())
        names, total = set(), 0
        for shard in sorted(set(index["weight_map"].values())):
            tensors, body = header(self.root / "a" / shard)
            tensors.pop("__metadata__")
            end = 0
            for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
                count = 1
                for n in tensor["shape"]:
                    count *= n
                self.assertEqual(tensor["data_offsets"], [end, end + 2 * count])
                self.assertEqual(index["weight_map"][name], shard)
                end += 2 * count
                names.add(name)
            self.assertEqual(end, len(body))
            total += end
        self.assertGreater(len(set(index["weight_map"].values())), 2)
        self.assertEqual(names, set(index["weight_map"]))
        self.assertEqual(total, index["metadata"]["total_size"])
        self.assertEqual(len(names), 9 * config["num_hidden_layers"] + 3)

    def test_a_seed_stands_for_its_bytes(self):
        digests = []
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            make(self.root / name, "--shape", "tiny", "--seed", seed)
            digests.append(hashlib.sha256((self.root / name / "model-00001-of-00001.safetensors").read_bytes()).hexdigest())
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_values_are_rounded_to_bfloat16_and_of_the_stated_size(self):
        make(self.root / "a", "--shape", "tiny")
        tensors, body = header(self.root / "a" / "model-00001-of-00001.safetensors")

        def values(name):
            begin, end = tensors[name]["data_offsets"]
            return (numpy.frombuffer(body[begin:end], "<u2").astype(numpy.uint32) << 16).view(numpy.float32)

        self.assertAlmostEqual(values("model.layers.0.mlp.gate_proj.weight").std(), 1 / 8, delta=0.005)
        self.assertAlmostEqual(values("model.norm.weight").mean(), 1, delta=0.1)

    def test_sizes_can_be_replaced_and_a_tied_head_is_left_out(self):
        result = make(self.root / "a", "--shape", "custom", "--layers", "1", "--hidden", "32", "--tied")
        self.assertEqual(result.returncode, 0, result.stderr)
        tensors, _ = header(self.root / "a" / "model-00001-of-00001.safetensors")
        self.assertNotIn("lm_head.weight", tensors)
        self.assertEqual(tensors["model.layers.0.mlp.down_proj.weight"]["shape"], [32, 176])

    def test_diffusion_transformers_have_the_layout_of_diffusers(self):
        for shape, word in (("pixart-sigma-1024", "PixArt"), ("sana-1600m", "Sana"), ("dit-xl", "DiT")):
            sizes = ("--layers", "1", "--heads", "2", "--head-dim", "4")
            for name, more in ((shape, ()), (shape + "-many", ("--shard-gb", "0.00001"))):
                result = make(self.root / name, "--shape", shape, *sizes, *more)
                self.assertEqual(result.returncode, 0, result.stderr)
            index = json.loads((self.root / shape / "model_index.json").read_text())
            config = json.loads((self.root / shape / "transformer" / "config.json").read_text())
            self.assertTrue(index["_class_name"].startswith(word) and config["_class_name"].startswith(word))
            tensors, body = header(self.root / shape / "transformer" / "diffusion_pytorch_model.safetensors")
            tensors.pop("__metadata__")
            self.assertEqual(max(t["data_offsets"][1] for t in tensors.values()), len(body))
            self.assertEqual(tensors["transformer_blocks.0.attn1.to_q.weight"]["shape"], [8, 8])
            many = self.root / (shape + "-many") / "transformer"
            shards = json.loads((many / "diffusion_pytorch_model.safetensors.index.json").read_text())["weight_map"]
            self.assertEqual(set(shards), set(tensors))
            self.assertGreater(len(set(shards.values())), 1)

    def test_diffusion_transformers_have_their_published_sizes(self):
        script = (
            "import math, sys; sys.path.insert(0, sys.argv[1]); import diffusion_shapes as d\n"
            "for name, c in d.CONFIGS.items(): print(name, sum(math.prod(e[1]) for e in d.tensors(c)))"
        )
        listed = subprocess.run(
            [sys.executable, "-B", "-c", script, str(SCRIPT.parent)], capture_output=True, text=True, check=True).stdout
        self.assertEqual(
            listed.splitlines(), ["pixart-sigma-1024 610856096", "sana-1600m 1604462752", "dit-xl 749826464"])

    def test_bad_options_and_a_folder_in_use_are_refused(self):
        for options, word in (
            (("--shape", "tiny", "--vocabulary", "100"), "257"),
            (("--shape", "tiny", "--heads", "3"), "multiple"),
            (("--shape", "tiny", "--head-dim", "15"), "even"),
            (("--shape", "tiny", "--layers", "0"), "at least 1"),
            (("--shape", "tiny", "--shard-gb", "0"), "above 0"),
            (("--shape", "huge"), "huge"),
            (("--shape", "dit-xl", "--vocabulary", "300"), "--vocabulary"),
            (("--shape", "sana-1600m", "--heads", "3", "--head-dim", "3"), "multiple of 4"),
            (("--shape", "dit-xl", "--layers", "0"), "at least 1"),
        ):
            result = make(self.root / "a", *options)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(word, result.stderr)
        (self.root / "b").mkdir()
        (self.root / "b" / "x").write_text("")
        result = make(self.root / "b", "--shape", "tiny")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("is there already", result.stderr)


if __name__ == "__main__":
    unittest.main()
