"""Mutants: does the default test suite notice a wrong line?

    python benchmarks/mutants/run.py                     # resumable; about half a minute a mutant on 2 idle cores
    python benchmarks/mutants/run.py --only label_shift  # one (or more) of them, anew
    python benchmarks/mutants/run.py --report            # only RESULTS.md

Each mutant changes one line of a temporary copy of the repository. The tests most likely to notice run first, up to the
first failure; only if all of them pass, the whole suite does. The copy without any change passes the likely tests
first, and whatever test of the whole suite notices a mutant has to pass without it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

import report
from mutants import MUTANTS, Mutant
from shared.machine import card

from luthier.core.files import read_json, write_json

RESULTS = HERE / "results" / "mutants.json"
KILLED, SURVIVED = "killed", "SURVIVED"
_FOLDERS = ("src", "tests", "examples", "docs", "benchmarks")
_FILES = ("pyproject.toml", "mkdocs.yml", "constraints.txt", "Makefile", "*.md")
_OF_THE_LIST = "tests/benchmarks/test_mutants.py"
"""This test looks for each mutant's old text, so it fails on any mutant and says nothing."""


def main() -> None:
    """Try the mutants that were not tried yet, then write RESULTS.md."""
    names = [mutant.name for mutant in MUTANTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"try these anew: {', '.join(names)}")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of the whole suite")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    stored: dict[str, Any] = read_json(RESULTS) if RESULTS.exists() else {"mutants": {}}
    chosen = [] if options.report else _chosen(options.only, stored["mutants"])
    if chosen:
        RESULTS.parent.mkdir(exist_ok=True)
        with copy_of(ROOT) as copy:
            require_sound(copy, chosen)
            for mutant in chosen:
                record = attempt(mutant, copy, options.workers)
                stored = {"machine": card(), "mutants": stored["mutants"] | {mutant.name: record}}
                write_json(RESULTS, stored)
                print(f"{mutant.name}: {report.outcome(record)}", file=sys.stderr, flush=True)
    (HERE / "RESULTS.md").write_text(report.render(MUTANTS, stored), encoding="utf-8")
    survivors = [name for name, record in stored["mutants"].items() if record["outcome"] == SURVIVED]
    if survivors:
        sys.exit(f"No test noticed {', '.join(survivors)}. Write one for each, then --only {' '.join(survivors)}.")


def _chosen(only: Sequence[str] | None, records: dict[str, Any]) -> list[Mutant]:
    """Return the mutants that are named, or those without a result of their very change."""
    if only:
        return [mutant for mutant in MUTANTS if mutant.name in only]
    return [mutant for mutant in MUTANTS if not report.is_of(records.get(mutant.name), mutant)]


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Copy what the tests need into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve() / "luthier"
        copy.mkdir()
        for name in _FOLDERS:
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "work"))
        for path in (path for pattern in _FILES for path in root.glob(pattern)):
            shutil.copy(path, copy / path.name)
        yield copy


def require_sound(copy: Path, chosen: Sequence[Mutant]) -> None:
    """Stop unless every change can be made, and the likely tests pass on the copy, and by its code, without any."""
    for mutant in chosen:
        mutant.applied(copy)
    where = subprocess.run(
        [sys.executable, "-c", "import luthier; print(luthier.__file__)"],
        cwd=copy, env=_surroundings(copy), capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if not Path(where).is_relative_to(copy):
        sys.exit(f"The tests would import {where}, not the copy's code. Uninstall luthier, or install it editable.")
    print(f"without a mutant: the likely tests of {len(chosen)}", file=sys.stderr, flush=True)
    if failing := first_failure(copy, sorted({test for mutant in chosen for test in mutant.tests})):
        sys.exit(f"{failing} fails without any mutant. Mend it first; a failing test notices nothing.")


def attempt(mutant: Mutant, copy: Path, workers: int) -> dict[str, Any]:
    """Try one mutant; the copy is afterwards as it was."""
    path = copy / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied(copy), encoding="utf-8")
    began = time.monotonic()
    try:
        likely = first_failure(copy, mutant.tests)
        found = likely or first_failure(copy, _whole_suite(workers))
        seconds = time.monotonic() - began
    finally:
        path.write_text(original, encoding="utf-8")
    if found and not likely and first_failure(copy, [found]):
        sys.exit(f"{found} fails without {mutant.name}, too. Mend it first, then start again.")
    return {
        "outcome": KILLED if found else SURVIVED,
        "by": found,
        "likely": bool(likely),
        "seconds": round(seconds, 1),
        "old": mutant.old,
        "new": mutant.new,
    }


def _whole_suite(workers: int) -> list[str]:
    spread = ["-n", str(workers), "--dist", "loadfile"] if workers > 1 and importlib.util.find_spec("xdist") else []
    return ["tests", f"--ignore={_OF_THE_LIST}", *spread]


def first_failure(copy: Path, arguments: Sequence[str]) -> str:
    """Run tests up to the first failure; returns its name, empty if all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", *arguments],
        cwd=copy, env=_surroundings(copy), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")) and "::" in line]
    if not failed:  # nothing was collected, or a module cannot be imported: no test has judged
        sys.exit(f"pytest ended with status {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return failed[0].partition(" ")[2].partition(" - ")[0]


def _surroundings(copy: Path) -> dict[str, str]:
    """Import the copy's code, and leave no compiled files: those of a mutant could be taken for the next one's."""
    return {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    main()
