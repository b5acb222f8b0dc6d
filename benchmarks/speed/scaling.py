"""How Luthier's own speed and memory change with the length of rows, their number, LoRA's rank, and the model."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import material
from alternating import Contestant, play
from shared.tables import table

_MODEL = "smollm2-135m-instruct"
_TURNS = 2
_USUAL = {"model": _MODEL, "method": "all", "rank": 16, "rows": "length-128", "of_turn": 16, "rate": 3e-4}
SERIES: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "Length of a row": [
        (f"{n} tokens", {"rows": f"length-{n}", "of_turn": max(1, material.TOKENS_A_TURN // n)})
        for n in material.LENGTHS
    ],
    "Rows a step, of 128 tokens": [(str(n), {"of_turn": n}) for n in (1, 4, 16, 64)],
    "Rank of LoRA": [(str(n), {"rank": n}) for n in (4, 16, 64, 256)],
    "What is trained": [
        ("q and v", {"method": "qv"}), ("all linear layers", {"method": "all"}), ("all weights", {"method": "full"}),
    ],
    "Model": [(n, {"model": n}) for n in (_MODEL, "gemma-3-270m")],
}  # fmt: skip


def measure(work: Path, precision: str, said: Any) -> dict[str, list[dict[str, Any]]]:
    """Measure every series, each setting in a program of its own."""
    return {
        title: [{"setting": name, **_one({**_USUAL, **changes}, work, precision, said)} for name, changes in settings]
        for title, settings in SERIES.items()
    }


def _one(given: Mapping[str, Any], work: Path, precision: str, said: Any) -> dict[str, Any]:
    rows = material.read(work / "material", given["rows"])
    turns = [[(t * given["of_turn"] + i) % len(rows) for i in range(given["of_turn"])] for t in range(_TURNS + 1)]
    start = work / "start-scaling"
    shutil.rmtree(start, ignore_errors=True)
    settings = {
        **given, "work": "supervised", "material": str(work / "material"), "precision": precision, "start": str(start),
    }  # fmt: skip
    with Contestant("ours.py", settings, work / "scaling.log") as one:
        found = play({"luthier": one}, [{"rows": turn} for turn in turns], said)["luthier"][1:]
    tokens = material.tokens_of([rows[i] for i in turns[-1]])
    return {
        "tokens": tokens,
        "tokens_per_second": tokens / statistics.median(turn["seconds"] for turn in found),
        "peak_bytes": max(turn["peak_bytes"] for turn in found),
    }


def render(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a table for each series."""
    parts = []
    for title, lines in found.items():
        rows = [
            [
                one["setting"],
                f"{one['tokens']:,}",
                f"{one['tokens_per_second']:.0f}",
                f"{one['peak_bytes'] / 1e9:.2f} GB",
            ]
            for one in lines
        ]
        parts += [table([title, "Tokens a step", "Tokens a second", "Peak memory"], rows), ""]
    return "\n".join(parts).rstrip()
