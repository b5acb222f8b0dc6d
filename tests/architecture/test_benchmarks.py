"""Every benchmark still starts, and its published page is what its committed results give."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import luthier

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = sorted(path.parent.name for path in BENCHMARKS.glob("*/run.py"))


def report(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(home / name / "run.py"), "--report"]
    this_one = os.environ | {"PYTHONPATH": str(Path(luthier.__file__).parents[1])}
    return subprocess.run(program, capture_output=True, text=True, env=this_one)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copied") / "benchmarks"
    return Path(shutil.copytree(BENCHMARKS, place, ignore=shutil.ignore_patterns("work", "__pycache__")))


def test_there_are_benchmarks() -> None:
    assert len(NAMES) >= 14


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_what_the_results_give(name: str, copied: Path) -> None:
    page = copied / name / "RESULTS.md"
    page.unlink()
    ended = report(name, copied)
    assert ended.returncode == 0, ended.stderr
    assert page.read_text(encoding="utf-8") == (BENCHMARKS / name / "RESULTS.md").read_text(encoding="utf-8")
