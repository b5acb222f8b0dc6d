"""How often a cross-validation gives a false verdict: its folds' models learn from nearly the same rows.

The paired test takes rows as independent. Pooled over folds they are nearly so: what is left shows most where models
hang on the very rows they learned from, so the two learners here are as unstable as few rows make them (a ridge
regression on eight inputs, each with inputs of its own). They are equally good, so every verdict is false.
"""

from __future__ import annotations

import numpy as np
import pytest

from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics.evidence import evidence_of_pair, is_shown

INPUTS, SIGNAL = 8, 0.45


def right_or_wrong(draw: np.random.Generator, rows: int, folds: int) -> np.ndarray:
    """Return which of two learners is right on which row `[2, rows]`, each row answered by a model of other rows."""
    label = draw.integers(0, 2, rows) * 2 - 1
    inputs = draw.normal(size=(2, rows, INPUTS)) + SIGNAL * label[None, :, None]
    right = np.zeros((2, rows))
    order = draw.permutation(rows)
    for fold in np.array_split(order, folds):
        others = np.setdiff1d(order, fold)
        for learner, x in enumerate(inputs):
            a = x[others]
            weights = np.linalg.solve(a.T @ a + np.eye(INPUTS), a.T @ label[others])
            right[learner, fold] = np.sign(x[fold] @ weights) == label[fold]
    return right


@pytest.mark.parametrize(("rows", "folds", "least", "most"), [
    (60, 5, 0.03, 0.10),  # 6 % of 3,000
    (30, 5, 0.04, 0.13),  # 8 %
    (60, 2, 0.06, 0.16),  # 11 %
])  # fmt: skip
def test_false_verdicts_of_equal_learners(rows: int, folds: int, least: float, most: float) -> None:
    draw, metric = np.random.default_rng(0), build_metric("exact_match")
    shown = 0
    for _ in range(400):
        base, candidate = right_or_wrong(draw, rows, folds)
        found = evidence_of_pair(metric, base[:, None], candidate[:, None], np.arange(rows))
        shown += is_shown(found.interval, found.p_value, 0.05)
    assert least <= shown / 400 <= most
