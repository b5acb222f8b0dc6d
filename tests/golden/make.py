"""Makes the golden runs of this version: what later versions must still open.

    python tests/golden/make.py

writes `tests/golden/VERSION/` anew, offline and in about half a minute: a tiny base model, rows, a run of `adapt` that
tuning won, a run of `tune`, and in `expected.json` what the two scored and answered. Run it once when a version is
released, and again only if the version's own runs were wrong. A folder of an earlier version is never made again: if
today's code cannot open it, the code is at fault.

The task is one that only tuning solves: the last letter of a made-up code decides the label. The base has learned the
letters under other labels, so prompts fail, TF-IDF sees no word twice, and LoRA has to learn three swaps.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import luthier
from luthier.cli.session import quiet_libraries
from luthier.core.disk import forget_losers
from luthier.core.files import read_json, read_lines
from luthier.core.record import RunFiles
from luthier.testing import tiny_model

HERE = Path(__file__).parent
LABELS = {"a": "red", "b": "green", "c": "blue"}
_SWAPPED = {"a": "green", "b": "blue", "c": "red"}
_LEARN = [
    "adapter.method=full", "precision=fp32", "training.learning_rate=1e-2", "training.epochs=4", "batch.sequences=8",
    "training.keep_best=false",
]  # fmt: skip
_TUNE = ["precision=fp32", "adapter.rank=4", "training.learning_rate=3e-3", "training.epochs=3", "batch.sequences=4"]
_LARGEST_BYTES = 700_000


def rows(labels: dict[str, str], **counts: int) -> Iterator[dict[str, str]]:
    """Yield rows of the given parts; no code comes twice."""
    for part, count in counts.items():
        draw = random.Random(f"{part} {count} {labels}")
        for number in range(count):
            letter = "abc"[number % 3]
            code = "".join(draw.choice("klmnpqrstuvwxyz") for _ in range(4)) + letter
            yield {"id": f"{part}-{number}", "text": f"item {code}", "label": labels[letter], "split": part}


def write_rows(path: Path, found: list[dict[str, str]], *columns: str) -> None:
    """Write some columns of rows as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def make() -> dict[str, Any]:
    """Make model, rows and runs in the working directory; return what they scored and answered."""
    write_rows(
        Path("school.csv"), list(rows(_SWAPPED, train=240, validation=15, test=30)), "id", "text", "label", "split"
    )
    school = luthier.tune("school.csv", _LEARN, model=str(tiny_model(Path("tiny"))), run="school")
    shutil.move(school.path / "model", "model")
    write_rows(Path("rows.csv"), list(rows(LABELS, train=60, validation=18, test=30)), "id", "text", "label", "split")
    later = list(rows(LABELS, later=12))
    write_rows(Path("new.csv"), later, "id", "text")
    write_rows(Path("labelled.csv"), later, "id", "text", "label")

    runs = {
        "adapt": luthier.adapt("rows.csv", model="model", budget="1h", target=0.8, precision="fp32", run="adapt"),
        "tune": luthier.tune("rows.csv", _TUNE, model="model", run="tune"),
    }
    chosen = Path(runs["adapt"].directory.manifest["chosen"]).name
    forget_losers(runs["adapt"].directory, {chosen})
    if not list(Path("adapt").glob("children/*/adapter")):
        raise SystemExit(f"adapt chose {chosen}, which was not tuned: the golden run would hold no adapter.")
    return {"chosen": chosen, "runs": {name: _expected(name, run) for name, run in runs.items()}}


def _expected(name: str, run: luthier.Run) -> dict[str, Any]:
    """Return a run's stored scores, and what it answers and scores on later rows."""
    answered = luthier.answer(run.path, "new.csv", precision="fp32", run=f"answers-{name}")
    evaluated = luthier.evaluate(run.path, "labelled.csv", precision="fp32", run=f"evaluated-{name}")
    frame = run.scores()
    return {
        "verdict": run.verdict,
        "scores": frame[["evaluation", "metric", "value"]].to_dict("records"),
        "answers": [line["text"] for line in read_lines(answered.path / "answers.jsonl")],
        "accuracy": evaluated.verdict["value"],
    }


def prune(folder: Path, chosen: str) -> None:
    """Remove what repeats the rest or names the machine: reports, events, locks, answers to general
    questions, the losers' rows and answers."""
    losers = [child for child in (folder / "adapt" / "children").iterdir() if child.name != chosen]
    repeated = [loser / name for loser in losers for name in ("parts.jsonl", "evaluation")]
    for name in ("report.html", "tensorboard", ".lock", "retention_*.jsonl"):
        repeated += folder.rglob(name)
    for path in repeated:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in folder.rglob("manifest.json"):
        manifest = read_json(path)
        manifest["folder"] = "/golden"
        manifest["environment"]["platform"] = platform.system()
        RunFiles(path.parent).write_json(path.name, manifest)


def main() -> None:
    """Make the golden runs of this version, in the place of those there may be."""
    quiet_libraries()
    target = HERE / luthier.__version__
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        expected = make()
        kept = Path("golden")
        kept.mkdir()
        for name in ("model", "adapt", "tune", "rows.csv", "new.csv", "labelled.csv"):
            shutil.move(name, kept / name)
        (kept / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
        prune(kept, expected["chosen"])
        written = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
        if written > _LARGEST_BYTES:
            raise SystemExit(f"The golden runs take {written:,} bytes; at most {_LARGEST_BYTES:,} should be committed.")
        os.chdir(HERE)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(folder) / "golden", target)
    sys.stdout.write(f"{target.name}: {written:,} bytes\n")


if __name__ == "__main__":
    main()
