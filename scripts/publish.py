#!/usr/bin/env python3
"""Puts the outcome of a run into results/, small enough to commit, with where it came from.

    scripts/publish.py runs/NAME [--command "scripts/quickstart.sh"] [--allow-dirty]

Copies tables, figures (PNG) and their data, the frozen plan, and all records (compressed) into results/NAME, and writes
its README: command, revision, machine, time. Refuses records made by uncommitted code, since nobody could make them again.
"""

import argparse
import gzip
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARGEST_BYTES = 2 * 1000 * 1000  # as scripts/check_tree.py


def last_records(path):
    """The newest whole record of every id, as the program reads them."""
    records = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by a stop; the program reports it
        records[record["id"]] = record
    return list(records.values())


def said(values):
    return ", ".join(sorted({str(value) for value in values if value not in (None, "")})) or "unknown"


def without_paths(plan):
    """The frozen plan without where files lie on this machine: names and digests say what they are."""
    def cleaned(value):
        if isinstance(value, dict):
            return {key: cleaned(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [cleaned(entry) for entry in value]
        return pathlib.Path(value).name if isinstance(value, str) and value.startswith("/") else value

    return (json.dumps(cleaned(json.loads(plan)), indent=1) + "\n").encode()


def packed(content):
    return gzip.compress(content, mtime=0)  # no time: the same run gives the same bytes


def without_bands(content):
    """Records without the bands of transformed rows, which are four fifths of a line; energy.csv has their averages."""
    lines = []
    for line in content.decode().splitlines():
        record = json.loads(line)
        for slot in record.get("slots", []):
            slot.pop("rows", None)
        lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()


def copy(run, target):
    copied = []
    for pattern in ("tables/*", "plots/*.png", "plots/*.csv"):
        for source in sorted(run.glob(pattern)):
            if source.stat().st_size > LARGEST_BYTES:
                print(f"left out, too large: {source}")
                continue
            destination = target / source.relative_to(run)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)
            copied.append(destination)
    contents = {"plan.json": without_paths((run / "plan.json").read_text(encoding="utf-8")), "records.jsonl": (run / "records.jsonl").read_bytes()}
    left_out = ""
    for name, content in contents.items():
        data = packed(content)
        if len(data) > LARGEST_BYTES:
            data = packed(without_bands(content))
            left_out = "bands of rows (`slots[].rows`), for the size of the file; plots/energy.csv has their averages"
        if len(data) > LARGEST_BYTES:
            sys.exit(f"publish.py: {name} has {len(data)} bytes packed; {LARGEST_BYTES} are allowed (scripts/check_tree.py)")
        (target / f"{name}.gz").write_bytes(data)
        copied.append(target / f"{name}.gz")
    return copied, left_out


def provenance(name, command, records, left_out):
    seconds = sum(sum(record.get("timing_s", {}).values()) for record in records)
    peak = max((record.get("peak_memory_bytes", 0) for record in records), default=0)
    hardware = [record.get("hardware", {}) for record in records]
    code = [record.get("code", {}) for record in records]
    rows = [
        ("command", f"`{command}`"),
        ("trials", f"{len(records)}, of them {sum(r['status'] != 'done' for r in records)} failed"),
        ("revision", said(c.get("revision") for c in code) + (" with uncommitted changes" if any(c.get("dirty") for c in code) else "")),
        ("build", said(f"{c.get('build', '')} {c.get('compiler', '')}".strip() for c in code)),
        ("processor", said(h.get("cpu") for h in hardware)),
        ("threads", said(r.get("threads") for r in records)),
        ("model", said(r.get("model", {}).get("digest") for r in records)),
        ("text", said(r.get("data", {}).get("digest") for r in records)),
        ("finished", max((r.get("finished", "") for r in records), default="unknown")),
        ("time in trials", f"{seconds:.0f} s"),
        ("peak memory", f"{peak / 1e9:.2f} GB"),
    ]
    if left_out:
        rows.append(("left out of the records", left_out))
    lines = [f"# {name}: results", "", "Written by `scripts/publish.py`; experiment and discussion are under "
             f"[experiments](../../experiments/).", "", "| | |", "| --- | --- |"]
    return "\n".join(lines + [f"| {key} | {value} |" for key, value in rows]) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("run", type=pathlib.Path, help="a run folder")
    arguments.add_argument("--command", help="what made it, for the README")
    arguments.add_argument("--allow-dirty", action="store_true", help="take records of uncommitted code, and say so")
    options = arguments.parse_args()
    records_path = options.run / "records.jsonl"
    if not records_path.is_file():
        sys.exit(f"publish.py: {records_path} is not there; is {options.run} a run folder?")
    records = last_records(records_path)
    if any(record.get("code", {}).get("dirty") for record in records) and not options.allow_dirty:
        sys.exit(f"publish.py: {records_path} holds records of uncommitted code; commit, run again, or give --allow-dirty")
    name = options.run.resolve().name
    target = ROOT / "results" / name
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    copied, left_out = copy(options.run, target)
    for path in copied:
        print(path.relative_to(ROOT))
    command = options.command or f"stamp run experiments/{name}/sweep.yaml"
    (target / "README.md").write_text(provenance(name, command, records, left_out), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
