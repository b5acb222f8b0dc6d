"""The win rate at equal length: what would be left of it if both answers were equally long.

Paper: Dubois et al. 2024, "Length-Controlled AlpacaEval: A Simple Way to Debias Automatic Evaluators",
arXiv:2404.04475. With the points z_i of the second answerer (1, a half, 0) and the difference of the answers' lengths
d_i, second minus first,

    P(z_i = 1) = sigmoid(theta + phi tanh(d_i / std(d)))         fitted by logistic regression
    length-controlled win rate = sigmoid(theta)                  the same with d = 0

Differences from the paper: its term for each instruction's difficulty needs many models on the same instructions and is
left out; lengths are characters, which need no tokenizer; phi is shrunk by a standard normal prior (scikit-learn's
default, C = 1). The interval resamples clusters, with a fit in each resample.

R resamples, n pairs, C clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.evaluation.statistics.intervals import Interval, Sample, interval_of_score
from luthier.evaluation.statistics.resampling import RESAMPLES, Floats, Integers

_STEPS = 25
_CELLS = 500_000
_FARTHEST = 30.0
"""Log-odds beyond which all is won or lost; keeps a fit finite where one side wins every pair."""
ONE_SIDED = 0.9
"""From this share of pairs on with the longer answer on the same side, equal length is hardly seen."""


@dataclass(frozen=True)
class LengthControlled:
    """A win rate at equal length.

    Attributes:
        interval: Of the win rate at equal length, 0 to 1.
        slope: phi: log-odds that the longer answer gains at most; above 0 the judge prefers length.
        longer: Share of pairs in which the second answer is the longer one; half of equal lengths.
    """

    interval: Interval
    slope: float
    longer: float

    @property
    def one_sided(self) -> bool:
        """Whether nearly all longer answers are of one side, so that equal length is a guess beyond the data."""
        return not 1 - ONE_SIDED < self.longer < ONE_SIDED

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"interval": self.interval.to_json(), "slope": self.slope, "longer": self.longer}


def length_controlled(
    points: Floats,
    lengths: Sequence[tuple[int, int]],
    codes: Integers,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LengthControlled | None:
    """Return the win rate at equal length; None where all pairs are equally long.

    Args:
        points: What the second answerer gets for each pair `[n]`: 1, a half, or 0.
        lengths: Of the first and the second answer, in characters.
        codes: Cluster of each pair `[n]`.
        level: Of the interval.
        resamples, seed: Of the bootstrap.
    """
    difference = np.array([second - first for first, second in lengths], dtype=np.float64)
    spread = float(difference.std())
    if not difference.any():
        return None
    feature = np.tanh(difference / (spread or np.abs(difference).max()))
    theta, phi = fit(feature, points, np.ones((1, len(points))))[0]

    def at_equal_length(counts: Floats) -> Floats:
        size = max(1, _CELLS // len(points))
        blocks = [fit(feature, points, counts[i : i + size][:, codes])[:, 0] for i in range(0, len(counts), size)]
        return _sigmoid(np.concatenate(blocks))

    sample = Sample(at_equal_length, float(_sigmoid(np.array(theta))), int(codes.max()) + 1)
    interval = interval_of_score(sample, (0.0, 1.0), len(points), level, resamples, seed)
    longer = float(((difference > 0) + (difference == 0) / 2).mean())
    return LengthControlled(interval, float(phi), longer)


def fit(feature: Floats, points: Floats, weights: Floats) -> Floats:
    """Fit the regression for each row of weights `[R, n]` by Newton's method; returns theta and phi `[R, 2]`.

    The likelihood of a half is that of half a win and half a loss.
    """
    theta, phi = np.zeros(len(weights)), np.zeros(len(weights))
    for _ in range(_STEPS):
        p = _sigmoid(theta[:, None] + phi[:, None] * feature)  # [R, n]
        rest, slope = weights * (points - p), weights * p * (1 - p)
        g0, g1 = rest.sum(axis=1), rest @ feature - phi
        h00, h01, h11 = slope.sum(axis=1) + 1e-9, slope @ feature, slope @ feature**2 + 1.0
        determinant = h00 * h11 - h01 * h01
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        longest = np.maximum(np.maximum(np.abs(step0), np.abs(step1)), 2.0) / 2.0  # no step beyond 2
        theta = np.clip(theta + step0 / longest, -_FARTHEST, _FARTHEST)
        phi = phi + step1 / longest
        if max(np.abs(step0).max(), np.abs(step1).max()) < 1e-9:
            break
    return np.stack([theta, phi], axis=1)


def _sigmoid(x: Floats) -> Floats:
    half: Floats = np.tanh(x / 2)
    return (1 + half) / 2
