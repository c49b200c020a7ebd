"""reproduce_all.sh in a small tree with a program that only says what it was asked for."""

import fcntl
import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
# `run ... --output DIR` makes DIR, notes the call, and ends as $FAKE_NAME says; compare tells what it was given.
PROGRAM = """#!/bin/bash
case $1 in
  --version) echo "stamp 0.1.0 (${FAKE_REVISION:-abc}, Release)" ;;
  run)
    folder=${@: -1}
    mkdir -p "$folder"
    echo "$*" >>"$FAKE_CALLS"
    echo "a table"
    echo "talk of $(basename "$folder")" >&2
    variable=FAKE_$(basename "$folder")
    exit "${!variable:-0}"
    ;;
  plot) echo "plot $2" >>"$FAKE_CALLS" ;;
  compare) echo "unchanged: perplexity of 2 trials" ;;
esac
"""
README = "# {0}: results\n\n| | |\n| --- | --- |\n| command | `{1}` |\n| trials | 2 |\n"


class ReproduceAll(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name).resolve()
        for name in ("reproduce_all.sh", "common.sh"):
            self.write(f"scripts/{name}", (SOURCE / "scripts" / name).read_text(encoding="utf-8"))
        self.write("build/bin/stamp", PROGRAM)
        (self.root / "build/bin/stamp").chmod(0o755)
        self.write("results/one/README.md", README.format("one", "build/bin/stamp run one.yaml"))
        self.write("results/two/README.md", README.format("two", "build/bin/stamp run two.yaml --output runs/kept --threads 2"))
        self.write("results/model/README.md", "# A model\n\nTrained by hand.\n")
        self.calls = self.root / "calls.txt"

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def start(self, *options, **variables):
        environment = {key: value for key, value in os.environ.items() if key != "STAMP_BUILD"}
        environment |= {"FAKE_CALLS": str(self.calls)} | variables
        done = subprocess.run(["bash", str(self.root / "scripts/reproduce_all.sh"), *options], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    def rebuild(self, *options, **variables):
        return self.start("--no-build", *options, **variables)

    def calls_of(self, verb):
        lines = self.calls.read_text(encoding="utf-8").splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(verb)]

    def test_every_published_command_runs_in_the_work_folder(self):
        code, out, err = self.rebuild()
        self.assertEqual(code, 0, err)
        work = self.root / "runs/reproduced"
        self.assertEqual(self.calls_of("run"), [f"run one.yaml --output {work}/one", f"run two.yaml --threads 2 --output {work}/two"])
        self.assertEqual(out.splitlines(), [f"{name:28} unchanged: perplexity of 2 trials" for name in ("one", "two")])
        self.assertIn("talk of one", err)
        self.assertNotIn("a table", out)
        log = (work / "one.log").read_text(encoding="utf-8")
        self.assertIn("a table", log)
        self.assertIn("talk of one", log)
        self.assertEqual(self.rebuild()[:2], (0, out))
        self.assertEqual(len(self.calls_of("run")), 2)  # nothing is done twice

    def test_what_fails_is_said_and_tried_again(self):
        code, out, _ = self.rebuild(FAKE_one="6", FAKE_two="3")
        self.assertEqual(code, 3)
        self.assertIn("one                          failed: exit code 6", out)
        self.assertIn("two                          failed trials; unchanged", out)
        self.assertIn("failed: exit code 6", self.start("--list")[1])
        code, out, _ = self.rebuild()
        self.assertEqual(code, 0)
        self.assertNotIn("failed", out)
        self.assertEqual(len(self.calls_of("run")), 4)

    def test_an_interrupt_ends_it_and_the_next_start_continues(self):
        code, out, err = self.rebuild(FAKE_one="130")
        self.assertEqual(code, 130)
        self.assertIn("the same command continues", err)
        self.assertEqual(out, "")
        self.assertEqual(len(self.calls_of("run")), 1)
        self.assertIn("begun", self.start("--list")[1])
        self.assertEqual(self.rebuild()[0], 0)
        self.assertEqual(len(self.calls_of("run")), 3)

    def test_some_of_them(self):
        code, out, _ = self.rebuild("--only", "two", "--output", str(self.root / "elsewhere"))
        self.assertEqual(code, 0)
        self.assertEqual(len(out.splitlines()), 1)
        self.assertEqual(self.calls_of("run"), [f"run two.yaml --threads 2 --output {self.root}/elsewhere/two"])
        code, _, err = self.rebuild("--only", "model")
        self.assertEqual(code, 1)
        self.assertIn("There are: one two", err)

    def test_list_runs_and_makes_nothing(self):
        code, out, _ = self.start("--list")
        self.assertEqual(code, 0)
        self.assertIn("build/bin/stamp run one.yaml", out)
        self.assertEqual(out.count("not rebuilt"), 2)
        self.assertFalse((self.root / "runs").exists())

    def test_records_of_another_revision_are_not_continued(self):
        self.assertEqual(self.rebuild("--only", "one")[0], 0)
        code, _, err = self.rebuild(FAKE_REVISION="def")
        self.assertEqual(code, 1)
        self.assertIn("was begun by stamp 0.1.0 (abc, Release)", err)

    def test_publish_takes_the_committed_command_and_is_done_once(self):
        self.write("scripts/publish.py", "#!/bin/bash\necho \"publish $*\" >>\"$FAKE_CALLS\"\n")
        (self.root / "scripts/publish.py").chmod(0o755)
        self.assertEqual(self.rebuild()[0], 0)
        self.assertEqual(self.calls_of("publish"), [])
        self.assertEqual(self.rebuild("--publish", "--only", "two")[0], 0)
        self.assertEqual(self.rebuild("--publish", "--only", "two")[0], 0)
        self.assertEqual(self.calls_of("publish"), [f"publish {self.root}/runs/reproduced/two --command build/bin/stamp run two.yaml --output runs/kept --threads 2"])

    def test_two_at_once(self):
        work = self.root / "runs/reproduced"
        work.mkdir(parents=True)
        with open(work / ".lock", "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            code, _, err = self.rebuild()
        self.assertEqual(code, 1)
        self.assertIn("another run of this script works there", err)

    def test_a_command_of_several_programs_is_not_guessed_at(self):
        self.write("results/two/README.md", README.format("two", "export A=1; build/bin/stamp run two.yaml"))
        code, out, _ = self.rebuild()
        self.assertEqual(code, 3)
        self.assertIn("more than one program", out)
        self.assertEqual(len(self.calls_of("run")), 1)


if __name__ == "__main__":
    unittest.main()
