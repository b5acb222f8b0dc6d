"""Commands of Luthier run as a person would run them, and what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Screen:
    """What a command printed, its exit status, and the seconds it took by the clock on the wall."""

    text: str
    code: int
    seconds: float


def call(arguments: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None) -> Screen:
    """Run `luthier ARGUMENTS` in a folder; progress goes to this program's own standard error."""
    print(f"luthier {' '.join(arguments)}", file=sys.stderr, flush=True)
    surroundings = {**os.environ, "COLUMNS": "120", **(settings or {})}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "luthier.cli.main", *arguments],
        cwd=folder,
        env=surroundings,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return Screen(done.stdout, done.returncode, time.monotonic() - began)


def finish(name: str, arguments: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None) -> str:
    """Make the run NAME in a folder with a command, or go on with it; returns what its last part printed.

    The screen is kept beside the run, so that a finished run is not made again if this program was stopped after it.
    """
    run, kept = folder / name, folder / f"{name}.screen.txt"
    if _status(run) == "finished" and kept.exists():
        return kept.read_text(encoding="utf-8")
    begun = _status(run) in ("running", "paused", "failed")
    screen = call(["resume", name] if begun else [*arguments, "--run", name, "--overwrite"], folder, settings)
    if screen.code:
        sys.exit(f"{name}: exit status {screen.code}")
    kept.write_text(screen.text, encoding="utf-8")
    return screen.text


def _status(run: Path) -> str:
    """Return a run's status; empty if there is none."""
    try:
        found: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return str(found["status"])
