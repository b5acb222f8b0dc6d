"""What a judge's verdicts on pairs add up to: win rate, ties, and how often the place decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from luthier.core.types import Example
from luthier.evaluation.judges.pairwise import PairVerdict
from luthier.evaluation.statistics import Interval, Scores
from luthier.evaluation.statistics.resampling import Floats
from luthier.evaluation.statistics.shares import wilson

_POINTS = {"first": 0.0, "tie": 0.5, "second": 1.0}


@dataclass(frozen=True)
class WinRate:
    """Share of pairs that an answerer wins, ties half (0 to 1)."""

    name = "win_rate"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)
    identity = "win_rate"

    def measure(self, example: Example, answer: Any) -> tuple[float, ...]:
        """Return what `points` gave: verdicts on pairs are no answers."""
        raise NotImplementedError("a win rate is counted from verdicts on pairs, see `win_scores`")

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to means `[...]`."""
        return rows[..., 0].mean(axis=-1)


def points(verdicts: Sequence[PairVerdict]) -> Floats:
    """Return what the second answerer gets for each pair `[n]`: 1, a half for a tie, or 0."""
    return np.array([_POINTS[verdict.outcome] for verdict in verdicts])


def win_scores(
    examples: Sequence[Example], verdicts: Sequence[PairVerdict], names: tuple[str, str]
) -> tuple[Scores, Scores]:
    """Return both answerers' win rates as scores on the same rows, to be compared like any others."""
    second = points(verdicts)[:, None]
    return tuple(  # type: ignore[return-value]
        Scores(
            answerer=name,
            metrics=(WinRate(),),
            example_ids=tuple(example.id for example in examples),
            clusters=tuple(example.cluster for example in examples),
            finishes=("stop",) * len(examples),
            rows={"win_rate": rows},
        )
        for name, rows in zip(names, (1 - second, second), strict=True)
    )


def halved(difference: Interval) -> Interval:
    """Return the win rate's interval from that of the difference between the two win rates, which sum to 1."""
    value, low, high = ((limit + 1) / 2 for limit in (difference.value, difference.low, difference.high))
    return Interval(value, low, high, difference.level, difference.method, difference.rows, difference.clusters)


@dataclass(frozen=True)
class PlaceBias:
    """How often the two orders of a pair disagree.

    Attributes:
        asked: Pairs that were read; equal and blank answers are not.
        disagree: Pairs on which the two orders said different things, and which therefore are ties.
        low, high: 95 % interval of their share (Wilson; pairs taken as rows of their own).
        to_a, to_b: Pairs on which the same place was preferred in both orders.
        failed: Pairs that the judge failed on.
    """

    asked: int
    disagree: int
    low: float
    high: float
    to_a: int
    to_b: int
    failed: int

    @classmethod
    def of(cls, verdicts: Sequence[PairVerdict]) -> PlaceBias:
        """Count over verdicts."""
        asked = [verdict for verdict in verdicts if verdict.orders]
        disagree = sum(verdict.disagree for verdict in asked)
        low, high = wilson(disagree, len(asked)) if asked else (0.0, 1.0)
        places = [verdict.place for verdict in asked]
        failed = sum(verdict.failed for verdict in verdicts)
        return cls(len(asked), disagree, low, high, places.count("A"), places.count("B"), failed)

    @property
    def share(self) -> float:
        """Share of pairs on which the orders disagree, 0 to 1; 0 where none was read."""
        return self.disagree / self.asked if self.asked else 0.0

    def sentence(self) -> str:
        """Say it."""
        if not self.asked:
            return "no pair had to be read: all answers are equal or blank"
        a, b = (100 * count / self.asked for count in (self.to_a, self.to_b))
        return (
            f"the two orders disagree on {self.disagree:,} of {self.asked:,} pairs, {100 * self.share:.1f} % (95 % "
            f"interval {100 * self.low:.1f} to {100 * self.high:.1f}), which count as ties: answer A preferred "
            f"whichever it was in {a:.1f} %, answer B in {b:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return asdict(self)
