"""The command line called in this process, and the small data sets that the end-to-end tests adapt models to."""

from __future__ import annotations

import contextlib
import csv
import html
import io
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.cli.main import app
from luthier.core.files import read_json
from luthier.core.record import RunFiles
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL, seal

REPOSITORY = Path(__file__).resolve().parents[2]
TICKETS = REPOSITORY / "examples" / "data" / "support_tickets" / "tickets.csv"
_WORDS = [
    "red",
    "blue",
    "late",
    "early",
    "broken",
    "new",
    "old",
    "big",
    "small",
    "cold",
    "warm",
    "soft",
    "loud",
    "quiet",
    "fast",
    "slow",
    "dark",
    "light",
    "sweet",
    "sour",
]
SETTINGS = ("training.epochs=1", "training.learning_rate=3e-4", "batch.sequences=8", "batch.micro_tokens=256")
"""Of the run `tuned`."""
_SUBJECTS = {"billing": "invoice", "shipping": "parcel", "other": "garden"}


@dataclass(frozen=True)
class Called:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value without NaN and nothing else."""

        def refuse(constant: str) -> Any:
            raise ValueError(f"{constant} is not JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def said(self) -> str:
        """Both streams as one line of words, so that line breaks do not matter."""
        return " ".join(f"{self.out}\n{self.err}".split())


def luthier(*arguments: object, stdin: str = "") -> Called:
    """Call the command line as the program does; a traceback is an error of the test."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdin = before
    return Called(code, out.getvalue(), err.getvalue())


def done(*arguments: object, stdin: str = "") -> Called:
    """Call the command line and expect success."""
    called = luthier(*arguments, stdin=stdin)
    assert called.code == 0, called
    return called


def refused(*arguments: object, stdin: str = "") -> str:
    """Call the command line and expect that nothing could be done: exit status 2, a text on standard error alone."""
    called = luthier(*arguments, stdin=stdin)
    assert called.code == 2, called
    assert called.err.startswith("luthier: "), called
    assert "Traceback" not in called.err
    return " ".join(called.err.split())


# ----------------------------------------------------------------------------------------------------------- data


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as CSV or JSON Lines, as the file's name says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def label_rows(tune: int = 30, choose: int = 15, confirm: int = 15) -> list[dict[str, Any]]:
    """Made-up messages with one of three labels, divided; a word of each message gives its label away."""
    draw = random.Random(5)
    parts = ["train"] * tune + ["validation"] * choose + ["test"] * confirm
    rows = []
    for number, part in enumerate(parts):
        label = list(_SUBJECTS)[number % 3]
        words = [*draw.sample(_WORDS, 4), _SUBJECTS[label]]
        draw.shuffle(words)
        rows.append({"id": f"r{number}", "text": f"{' '.join(words)} {number}", "label": label, "split": part})
    return rows


def ticket_rows(tune: int = 36, choose: int = 14, confirm: int = 14) -> list[dict[str, Any]]:
    """Return an extract of the shipped support tickets, as they are divided there."""
    with open(TICKETS, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if len(row["message"]) < 160]
    wanted = {"tune": tune, "choose": choose, "confirm": confirm}
    chosen = [row for part, count in wanted.items() for row in [r for r in rows if r["split"] == part][:count]]
    assert len(chosen) == tune + choose + confirm
    return chosen


def dialogue_rows(count: int = 60) -> list[dict[str, Any]]:
    """Made-up dialogues with two summaries each."""
    draw = random.Random(7)
    rows = []
    for number in range(count):
        things = draw.sample(_WORDS, 3)
        rows.append(
            {
                "id": f"d{number}",
                "dialogue": f"Ann: the {things[0]} one {number}? Bob: no, {things[1]} and {things[2]}, please.",
                "summaries": [f"Bob wants {things[1]} and {things[2]}.", f"Bob asks for {things[1]}."],
            }
        )
    return rows


# ----------------------------------------------------------------------------------------------------------- runs


def manifest(run: Path) -> dict[str, Any]:
    """Return a run's manifest."""
    found: dict[str, Any] = read_json(run / "manifest.json")
    return found


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def runs_in(folder: Path) -> list[str]:
    """Return the names of the runs in a folder, and of whatever else is there that was not before."""
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def reproducible_files(run: Path) -> dict[str, bytes]:
    """Return what two equal runs have in equal bytes: adapters, metrics, answers, scores, rows, recipes."""

    def wanted(name: str) -> bool:
        last = name.rpartition("/")[2]
        if last == "timings.jsonl" or last in ("plan.json", "speed.json"):
            return False
        return (
            last in ("metrics.jsonl", "parts.jsonl", "adapter_model.safetensors", "model.safetensors", "recipe.yaml")
            or "evaluation/" in name
            or "steps/" in name
        )

    found = {str(path.relative_to(run)): path for path in _files(run)}
    return {name: path.read_bytes() for name, path in found.items() if wanted(name)}


def _files(run: Path) -> Iterator[Path]:
    yield from (path for path in sorted(run.rglob("*")) if path.is_file())


def leftovers(run: Path) -> list[str]:
    """Return what a killed process left half-written."""
    return [str(path.relative_to(run)) for path in run.rglob(".*") if path.name != ".lock"]


def require_equal_runs(run: Path, uninterrupted: Path) -> dict[str, bytes]:
    """Make sure that a run has the bytes of another, and nothing half-written; returns its reproducible files."""
    found, expected = reproducible_files(run), reproducible_files(uninterrupted)
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert set(found) == set(expected)
    assert leftovers(run) == []
    return found


def seal_again(run: Path) -> None:
    """Make a run's adapter, which was tampered with, one that the run wrote itself."""
    seal(run / "adapter")
    RunFiles(run).record(f"adapter/{SEAL}", (run / "adapter" / SEAL).read_bytes())


def page_text(run: Path) -> str:
    """Return what a reader of a run's report sees, as one line of words."""
    page = (run / "report.html").read_text(encoding="utf-8").partition("</style>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def status(run: Path) -> str:
    """Return a run's status."""
    return RunDirectory(run).status
