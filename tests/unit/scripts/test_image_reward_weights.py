"""image_reward_weights.py on the tiny model of tests/golden: the folder it makes, and one message for every wrong file."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import image_reward_weights  # noqa: E402

try:
    import torch
    from dit.checkpoint import read_safetensors
except ImportError as error:
    torch, missing = None, error

LOST, TURNED = "blip.text_encoder.encoder.layer.1.crossattention.self.key.bias", "blip.visual_encoder.blocks.1.attn.qkv.weight"


def setUpModule():
    if torch is None:
        raise unittest.SkipTest(f"{missing}: converting a model needs torch")


class Weights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        tensors, metadata = read_safetensors(ROOT / "tests" / "golden" / "image_reward_tiny.safetensors")
        cls.config = json.loads(metadata["config"])
        cls.state = {name: tensor for name, tensor in tensors.items() if name.startswith(("blip.", "mlp."))}
        cls.state["blip.vision_proj.weight"] = torch.zeros(2, 24)
        words = json.loads((ROOT / "tests" / "golden" / "wordpiece.json").read_text())["vocabulary"]
        torch.save(cls.state, cls.root / "model.pt")
        (cls.root / "med_config.json").write_text(json.dumps(cls.config))
        (cls.root / "vocab.txt").write_text("".join(word + "\n" for word in words), encoding="utf-8")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_with(self, model="model.pt", config="med_config.json", vocabulary="vocab.txt", output="out"):
        """What it says when it gives up, or None."""
        words = ["image_reward_weights.py", "--model", model, "--config", config, "--vocabulary", vocabulary, "--output", output]
        words[2::2] = [str(self.root / word) for word in words[2::2]]
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(io.StringIO()):
            try:
                return image_reward_weights.main()
            except SystemExit as end:
                return end.code

    def refused(self, part, **files):
        message = self.run_with(**files, output="refused")
        self.assertIsInstance(message, str)
        self.assertIn(part, message)
        self.assertEqual(len(message.splitlines()), 1, message)
        self.assertFalse((self.root / "refused").exists())

    def test_folder(self):
        self.assertIsNone(self.run_with())
        tensors, _ = read_safetensors(self.root / "out" / "model.safetensors")
        self.assertEqual(set(self.state) - set(tensors), {"blip.vision_proj.weight", "blip.text_encoder.embeddings.position_ids"})
        for name, tensor in tensors.items():
            self.assertTrue(torch.equal(tensor, self.state[name]), name)
        for name in ("med_config.json", "vocab.txt"):
            self.assertEqual((self.root / "out" / name).read_bytes(), (self.root / name).read_bytes())

    def test_wrong_models(self):
        torch.save({k: v for k, v in self.state.items() if k != LOST}, self.root / "lost.pt")
        self.refused(f'has no tensor "{LOST}"', model="lost.pt")
        torch.save({**self.state, TURNED: self.state[TURNED].T.contiguous()}, self.root / "turned.pt")
        self.refused(f"{TURNED} has shape [24, 72], expected [72, 24]", model="turned.pt")
        torch.save([1, 2], self.root / "list.pt")
        self.refused("holds list", model="list.pt")
        (self.root / "text.pt").write_text("hello")
        self.refused("no file of tensors", model="text.pt")
        self.refused("no such file", model="nothing.pt")

    def test_wrong_configuration(self):
        (self.root / "bert.json").write_text(json.dumps({**self.config, "add_cross_attention": False}))
        self.refused("add_cross_attention is not true", config="bert.json")
        (self.root / "half.json").write_text('{"hidden_size":')
        self.refused("half.json:1:", config="half.json")
        (self.root / "other.json").write_text(json.dumps({**self.config, "hidden_size": "20"}))
        self.refused("hidden_size is '20', wanted: an integer", config="other.json")

    def test_wrong_vocabulary(self):
        (self.root / "longer.txt").write_text((self.root / "vocab.txt").read_text(encoding="utf-8") + "more\n", encoding="utf-8")
        self.refused("467 tokens with [DEC] and [ENC], but vocab_size of the configuration is 466", vocabulary="longer.txt")
        (self.root / "words.txt").write_text("a\nb\n")
        self.refused("has no line [UNK]", vocabulary="words.txt")


if __name__ == "__main__":
    unittest.main()
