"""False and true verdicts about methods whose runs scatter with their seeds; more trials gave the docs' figures."""

from __future__ import annotations

from collections import Counter

import pytest
from seeded_worlds import SeededWorld

from luthier.core.seeding import stream
from luthier.evaluation.comparison import compare

TRIALS = 120


def verdicts(world: SeededWorld, trials: int = TRIALS) -> Counter[str]:
    found: Counter[str] = Counter()
    for trial in range(trials):
        base, candidate = world.draw(stream(trial, "seeds"))
        found[compare(base, candidate, world.metric, resamples=500, seed=trial).verdict] += 1
    return found


@pytest.mark.parametrize(
    "world",
    [
        SeededWorld("exact_match", (2, 2)),
        SeededWorld("exact_match", (3, 3)),
        SeededWorld("exact_match", (4, 4), copies=5),
        SeededWorld("token_f1", (5, 5)),
        SeededWorld("macro_f1", (4, 4)),
    ],
    ids=["2 seeds", "3 seeds", "4 seeds, clusters", "5 seeds, F1", "4 seeds, macro-F1"],
)
def test_equal_methods_are_seldom_told_apart(world: SeededWorld) -> None:
    found = verdicts(world)
    assert found["better"] + found["worse"] <= 8  # 7 % of 120


def test_single_runs_of_equal_methods_are_told_apart_too_often() -> None:
    """That is why a verdict on two models is none on their methods."""
    found = verdicts(SeededWorld("token_f1", (1, 1)))
    assert found["better"] + found["worse"] > 24  # 20 %


def test_a_better_method_is_found() -> None:
    found = verdicts(SeededWorld("exact_match", (5, 5), gain=1.0), 60)
    assert found["better"] >= 42  # 70 %: 14 points, twice what the interval takes
    assert found["worse"] == 0
