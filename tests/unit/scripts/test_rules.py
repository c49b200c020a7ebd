"""Breaks every rule of check_layers.py, check_tree.py and docs.py once, in a small tree of its own."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
TABLE = """
| folder | holds | may include |
| --- | --- | --- |
| `base` | x | nothing of ours |
| `quant` | x | base |
| `results` | x | quant (statistics only) |
| `sweep` | x | results |
| `models` [T] | x | quant |
| `methods` [T in sources] | x | models |
| `cli` | x | everything |
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for name in ("check_layers.py", "check_tree.py", "docs.py"):
            self.write(f"scripts/{name}", (SOURCE / "scripts" / name).read_text(encoding="utf-8"))
        self.write("docs/architecture.md", TABLE)
        self.write("src/base/text.h", "#include <string>\n")
        self.write("src/quant/grid.h", '#include "base/text.h"\n')
        self.write("src/quant/slot_statistics.h", "")
        self.write("src/results/record.h", '#include "quant/slot_statistics.h"\n')
        self.write("src/models/network.h", '#include <ATen/core/Tensor.h>\n#include "quant/grid.h"\n')
        self.write("src/methods/rtn.cpp", '#include <ATen/ops/mm.h>\n#include "models/network.h"\n')
        self.write("tests/unit/a/CMakeLists.txt", "stamp_test(test_a SOURCES test_a.cpp)  # test_b.cpp\n")
        self.write("tests/unit/a/test_a.cpp", "")

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run_script(self, name, *arguments):
        done = subprocess.run([sys.executable, "-B", str(self.root / "scripts" / name), *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def refuses(self, script, words, *arguments):
        code, text = self.run_script(script, *arguments)
        self.assertEqual(code, 1, text)
        self.assertIn(words, text)

    def test_a_good_tree_passes(self):
        self.assertEqual(self.run_script("check_layers.py")[0], 0, self.run_script("check_layers.py")[1])
        self.assertEqual(self.run_script("check_tree.py")[0], 0, self.run_script("check_tree.py")[1])

    def test_layers(self):
        cases = [
            ("src/base/up.h", '#include "quant/grid.h"\n', "src/base/up.h:1: base may not include quant"),
            ("src/results/all.h", '#include "quant/grid.h"\n', "results may include only statistics headers of quant"),
            ("src/sweep/far.h", '#include "models/network.h"\n', "sweep may not include models"),
            ("src/quant/gone.h", '#include "quant/none.h"\n', "is not a file below src/"),
            ("src/new/a.h", "#include <string>\n", "in a folder that the table"),
            ("src/quant/t.cpp", "#include <torch/torch.h>\n", "LibTorch in quant"),
            ("src/methods/t.h", "#include <ATen/core/Tensor.h>\n", "LibTorch in a header of methods"),
            ("src/models/t.h", "#include <ATen/ATen.h>\n", "only <ATen/core/Tensor.h> is cheap enough"),
            ("src/quant/log.cpp", "#include <spdlog/spdlog.h>\n", "outside src/base/log"),
            ("src/base/yaml.cpp", "#include <yaml-cpp/yaml.h>\n", "outside src/config/"),
        ]
        for name, text, words in cases:
            with self.subTest(name):
                self.write(name, text)
                self.refuses("check_layers.py", words)
                (self.root / name).unlink()

    def test_a_layer_reaches_what_its_layers_reach(self):
        self.write("src/sweep/a.h", '#include "base/text.h"\n#include "quant/slot_statistics.h"\n')
        self.assertEqual(self.run_script("check_layers.py")[0], 0, self.run_script("check_layers.py")[1])

    def test_a_table_that_names_no_folder_is_a_fault(self):
        self.write("docs/architecture.md", TABLE + "| `last` | x | nowhere |\n")
        self.refuses("check_layers.py", "is no folder further up")

    def test_tree(self):
        marker = "TO" + "DO"  # in one piece it would be a fault of this very file
        cases = [
            ("tests/unit/a/test_b.cpp", "", "in no CMakeLists.txt"),
            ("src/base/path.cpp", "// see /ho" + "me/me/notes\n", "path of a machine"),
            ("src/base/later.cpp", f"// {marker}: more\n", f"unfinished: {marker}"),
            ("src/base/long.cpp", "int x;\n" * 501, "501 lines"),
            ("docs/a.md", "[x](b.md)\n", "the link b.md leads nowhere"),
            ("data.bin", "\0" * 2_000_001, "at most 2000000"),
        ]
        for name, text, words in cases:
            with self.subTest(name):
                self.write(name, text)
                self.refuses("check_tree.py", words)
                (self.root / name).unlink()

    def test_a_listed_file_may_be_large_but_not_of_any_size(self):
        name = "results/cifar10_dit/checkpoint/transformer/diffusion_pytorch_model.safetensors"
        self.write(name, "\0" * 2_000_001)
        self.assertEqual(self.run_script("check_tree.py")[0], 0, self.run_script("check_tree.py")[1])
        self.write(name, "\0" * 24_000_001)
        self.refuses("check_tree.py", "at most 24000000")

    def test_generated_pages(self):
        program = self.root / "stamp"
        program.write_text("#!/bin/sh\nprintf '### Keys of the file\\n\\na\\n\\n### Settings of a trial\\n\\nb\\n\\n### Methods\\n\\nc\\n'\n")
        program.chmod(0o755)
        page = "<!-- fields: begin, x -->\n<!-- fields: end -->\n<!-- plugins: begin -->\nold\n<!-- plugins: end -->\n"
        self.write("docs/page.md", page + "<!-- include result.txt: begin -->\n<!-- include result.txt: end -->\n")
        self.refuses("docs.py", "docs/page.md: out of date", "--check", "--program", str(program))
        self.assertEqual(self.run_script("docs.py", "--program", str(program))[0], 0)
        written = (self.root / "docs/page.md").read_text(encoding="utf-8")
        self.assertIn("### Settings of a trial\n\nb\n<!-- fields: end -->", written)
        self.assertIn("<!-- plugins: begin -->\n### Methods\n\nc\n<!-- plugins: end -->", written)
        self.assertIn("No result of this experiment is committed", written)
        self.assertEqual(self.run_script("docs.py", "--check", "--program", str(program))[0], 0)
        self.write("result.txt", "| 1 |\n")
        self.refuses("docs.py", "docs/page.md: out of date", "--check", "--program", str(program))


if __name__ == "__main__":
    unittest.main()
