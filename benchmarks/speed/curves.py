"""How far bf16 takes the loss from fp32's, step by step, for Luthier and for TRL.

Luthier's fp32 curve is what both are compared with: its losses are TRL's in fp32, as the workloads themselves show.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import material
import numpy as np
from alternating import Contestant, play
from shared.tables import table
from workloads import WORKLOADS

_KINDS = ("sft-full", "pairs")
_STEPS = 20
_RESAMPLES = 10_000

Curves = Mapping[str, Sequence[float]]


def measure(name: str, model: Path, work: Path, said: Callable[[str], None]) -> dict[str, Any]:
    """Train on the same rows in fp32 and twice in bf16, and keep the loss of every step."""
    return {kind: _curves(kind, name, model, work, said) for kind in _KINDS}


def _curves(kind: str, name: str, model: Path, work: Path, said: Callable[[str], None]) -> dict[str, Any]:
    load = WORKLOADS[kind]
    turns = load.turn_rows(len(material.read(work / "material", load.rows)), _STEPS)
    start = work / "start-curves"
    shutil.rmtree(start, ignore_errors=True)
    common = {"material": str(work / "material"), "rows": load.rows, "start": str(start), **load.settings}
    own = {**common, "model": name, "work": load.work}
    peer = load.peers["trl"]
    theirs = {
        **common, "model": str(model), "work": peer.work, "best": True, "steps": _STEPS + 1,
        "order": [i for turn in turns for i in turn],
    }  # fmt: skip
    entered = {
        "luthier.fp32": ("ours.py", {**own, "precision": "fp32"}),
        "luthier.bf16": ("ours.py", {**own, "precision": "bf16"}),
        "trl.bf16": (peer.program, {**theirs, "precision": "bf16"}),
    }
    with ExitStack() as stack:
        playing = {
            key: stack.enter_context(Contestant(program, given, work / f"curves.{kind}.{key}.log"))
            for key, (program, given) in entered.items()
        }
        found = play(playing, [{"rows": list(turn)} for turn in turns], said)
    return {key: [turn["loss"] for turn in lines] for key, lines in found.items()}


def distances(curves: Curves, key: str) -> list[float]:
    """Return how far a curve is from fp32's, step by step (nats)."""
    return [abs(a - b) for a, b in zip(curves[key], curves["luthier.fp32"], strict=True)]


def mean_distance(curves: Curves, key: str) -> float:
    """Return the mean of `distances`."""
    return statistics.fmean(distances(curves, key))


def farther(curves: Curves) -> tuple[float, float, float]:
    """Return by how much Luthier's is farther from fp32 than TRL's: mean, and the bounds of its 95 % interval.

    The interval is a percentile bootstrap over the steps, paired.
    """
    steps = np.subtract(distances(curves, "luthier.bf16"), distances(curves, "trl.bf16"))
    means = np.random.default_rng(0).choice(steps, (_RESAMPLES, len(steps))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(steps.mean()), float(low), float(high)


def render(found: Mapping[str, Curves]) -> str:
    """Return a table with a line for each kind of training."""
    header = ["", "Steps", "Luthier's mean distance", "TRL's mean distance", "Luthier farther by [95 %]"]
    rows = []
    for kind, curves in found.items():
        own, theirs = (mean_distance(curves, key) for key in ("luthier.bf16", "trl.bf16"))
        more, low, high = farther(curves)
        rows.append(
            [WORKLOADS[kind].title, str(len(curves["trl.bf16"])), f"{own:.4f}", f"{theirs:.4f}",
             f"{more:+.4f} [{low:+.4f}, {high:+.4f}]"]
        )  # fmt: skip
    said = (
        "Distance: the absolute difference of a step's loss (nats) from that of the same training in fp32. All begin "
        "with the same weights and take the same rows. The interval is a bootstrap over the steps."
    )
    return "\n".join([table(header, rows), "", said])
