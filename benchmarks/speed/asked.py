"""What was asked of the speed comparison, and what was found."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import curves
from shared.tables import table
from workloads import WORKLOADS

Result = Mapping[str, Any]
_MOST_MEMORY = 0.45
"""Luthier's peak by TRL's."""
_MOST_APART = 1e-6
"""Relative, of the first step's losses in fp32: what follows starts from weights that differ by rounding already."""
_MOST_SECONDS = {"luthier --help": 0.3, "luthier chat, first token, opened before": 5.0}

Line = tuple[str, str, str, bool]


def ratios(own: Sequence[Result], theirs: Sequence[Result], what: str = "seconds") -> list[float]:
    """Return the peer's by Luthier's, turn by turn."""
    return [b[what] / a[what] for a, b in zip(own, theirs, strict=True)]


def apart(own: Sequence[Result], theirs: Sequence[Result]) -> list[float]:
    """Return the relative differences of the losses, turn by turn."""
    return [abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(own, theirs, strict=True)]


def same_tokens(own: Sequence[Result], theirs: Sequence[Result]) -> tuple[int, int]:
    """Return how many answers have the same tokens, of how many."""
    pairs = [p for a, b in zip(own, theirs, strict=True) for p in zip(a["tokens"], b["tokens"], strict=True)]
    return sum(a == b for a, b in pairs), len(pairs)


def peak(turns: Sequence[Result]) -> int:
    """Return the highest memory of all turns."""
    return max(int(turn["peak_bytes"]) for turn in turns)


def summary(results: Mapping[str, Result]) -> str:
    """Return a line for everything that was asked and has been measured; none if nothing was."""
    lines = [line for key, found in results.items() for line in _lines(*key.rsplit(".", 1), found)]
    if not lines:
        return ""
    rows = [[what, asked, found, "yes" if kept else "**no**"] for what, asked, found, kept in lines]
    return table(["", "Asked", "Found", "Kept"], rows)


def _lines(name: str, precision: str, found: Result) -> Iterator[Line]:
    if name == "start":
        for kind, most in _MOST_SECONDS.items():
            median = statistics.median(found["seconds"][kind])
            yield kind, f"at most {most} s", f"{median:.2f} s", median <= most
    if name == "curves":
        for kind, losses in found["curves"].items():
            own, theirs = (curves.mean_distance(losses, key) for key in ("luthier.bf16", "trl.bf16"))
            title = f"{WORKLOADS[kind].title}, bf16"
            yield title, f"loss no farther from fp32's than TRL's own ({theirs:.4f} nats)", f"{own:.4f}", own <= theirs
    if name not in WORKLOADS:
        return
    load, turns = WORKLOADS[name], found["turns"]
    title = f"{load.title}, {precision}"
    for key in (key for key in load.peers if key in turns):
        own, theirs, peer = turns["luthier"], turns[key], load.peers[key].title
        if (least := load.least.get(f"{key}.{precision}")) is not None:
            ratio = statistics.median(ratios(own, theirs))
            yield title, f"at least {least} times as quick as {peer}", f"{ratio:.2f}", ratio >= least
        if key.startswith("trl"):
            share = peak(own) / peak(theirs)
            yield title, f"at most {_MOST_MEMORY:.0%} of the memory of {peer}", f"{share:.0%}", share <= _MOST_MEMORY
        if load.agree == "loss" and precision == "fp32":
            first = apart(own, theirs)[0]
            yield title, f"loss of {peer}, to {_MOST_APART:.0e}", f"{first:.0e}", first <= _MOST_APART
        if load.agree == "tokens" and precision == "fp32":
            same, all_ = same_tokens(own, theirs)
            yield title, f"the tokens of {peer}", f"{same} of {all_} answers", same == all_
