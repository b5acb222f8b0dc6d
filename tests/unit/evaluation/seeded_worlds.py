"""Simulated methods whose runs scatter with their seeds: two groups of runs on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores

LABELS = ("rare", "common", "frequent")
_SHARES = (0.15, 0.35, 0.5)


@dataclass(frozen=True)
class SeededWorld:
    """Two methods, run with so many seeds each.

    A run's log-odds of being right on a row are those of the row, of the method on the row, of the seed, and of the
    seed on the row. The seed's own part moves a run's score by about as much as 80 rows do (five points).

    Attributes:
        metric: "exact_match", "token_f1" (a mean of fractions) or "macro_f1" (no mean).
        seeds: Runs of the base and of the candidate.
        scatter: Standard deviation of the seeds' log-odds, of both methods.
        gain: What the candidate's log-odds are above the base's.
        copies: Rows of a cluster, which share everything but the luck of each answer.
        rows: Clusters.
    """

    metric: str
    seeds: tuple[int, int]
    scatter: tuple[float, float] = (0.3, 0.3)
    gain: float = 0.0
    copies: int = 1
    rows: int = 80

    def draw(self, random: np.random.Generator) -> tuple[list[Scores], list[Scores]]:
        """Draw rows and runs: the base's and the candidate's."""
        n = self.rows * self.copies
        clusters = np.repeat(np.arange(self.rows), self.copies)
        ability = random.normal(1.0, 1.0, self.rows)
        kinds = random.choice(3, n, p=_SHARES)
        groups = []
        for name, runs, scatter, gain in zip("ab", self.seeds, self.scatter, (0.0, self.gain), strict=True):
            of_method = ability + random.normal(0.0, 0.7, self.rows) + gain
            seeds = [of_method + random.normal(0.0, scatter) + random.normal(0.0, 0.7, self.rows) for _ in range(runs)]
            rights = [1 / (1 + np.exp(-odds[clusters])) for odds in seeds]
            groups.append([self._scores(f"{name}{s}", right, kinds, random) for s, right in enumerate(rights)])
        return groups[0], groups[1]

    def _scores(self, name: str, right: np.ndarray, kinds: np.ndarray, random: np.random.Generator) -> Scores:
        n = len(right)
        metric = build_metric(self.metric, **({"labels": LABELS} if self.metric == "macro_f1" else {}))
        if self.metric == "macro_f1":
            found = np.where(random.random(n) < right, kinds, random.integers(0, 3, n))
            rows = np.zeros((n, 9))
            rows[np.arange(n), 3 * kinds + np.where(found == kinds, 0, 2)] = 1.0
            wrong = found != kinds
            rows[np.flatnonzero(wrong), 3 * found[wrong] + 1] = 1.0
        elif self.metric == "exact_match":
            rows = (random.random(n) < right).astype(float)[:, None]
        else:
            rows = random.binomial(12, right)[:, None] / 12
        return Scores(
            answerer=name,
            metrics=(metric,),
            example_ids=tuple(map(str, range(n))),
            clusters=tuple(f"c{i // self.copies}" for i in range(n)) if self.copies > 1 else (None,) * n,
            finishes=("stop",) * n,
            rows={self.metric: rows},
        )
