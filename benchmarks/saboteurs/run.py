"""The same faults planted in Luthier, TRL, transformers' Trainer and LLaMA-Factory: what stops, what says so?

    python benchmarks/saboteurs/run.py                       # every tool that is installed; goes on where it stopped
    python benchmarks/saboteurs/run.py --again trl           # makes a tool's results anew
    python benchmarks/saboteurs/run.py --python llamafactory=/path/to/venv/bin/python
    python benchmarks/saboteurs/run.py --report              # only RESULTS.md, from results/*.json

A tiny random model and 40 made-up rows, on the CPU; each fault in a process of its own with a time limit (harness.py).
LLaMA-Factory needs other versions than Luthier and so an environment of its own, named with --python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import report

HERE = Path(__file__).parent
TOOLS = ("luthier", "trl", "trainer", "llamafactory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", nargs="*", default=[], choices=TOOLS)
    parser.add_argument("--tools", nargs="*", default=TOOLS, choices=TOOLS)
    parser.add_argument("--python", action="append", default=[], metavar="TOOL=PROGRAM")
    parser.add_argument("--only", nargs="*", default=[], metavar="NUMBER", help="make these faults anew")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md")
    given = parser.parse_args()
    if not given.report:
        programs = dict(entry.split("=", 1) for entry in given.python)
        with tempfile.TemporaryDirectory(prefix="saboteurs") as place:
            measure(Path(place), given, programs)
    (HERE / "RESULTS.md").write_text(report.render(HERE / "results"), encoding="utf-8")


def measure(work: Path, given: argparse.Namespace, programs: dict[str, str]) -> None:
    from luthier.testing import tiny_model

    tiny_model(work / "model")
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LUTHIER_CACHE": str(work / "cache"),
                                 "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    for tool in given.tools:
        results = HERE / "results" / f"{tool}.json"
        if tool in given.again:
            results.unlink(missing_ok=True)
        if tool == "llamafactory" and tool not in programs:
            print("llamafactory: left out (no --python llamafactory=PROGRAM)", file=sys.stderr)
            continue
        command = [programs.get(tool, sys.executable), str(HERE / f"peer_{tool}.py"), str(results), str(work)]
        command += ["--only", *given.only] if given.only else []
        done = subprocess.run(command, env=surroundings, check=False)
        if done.returncode:
            print(f"{tool}: ended with status {done.returncode}", file=sys.stderr)
        if results.exists():
            json.loads(results.read_text())  # whole, or said here


if __name__ == "__main__":
    main()
