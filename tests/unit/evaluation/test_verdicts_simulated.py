"""A small, seeded version of benchmarks/verdicts: false verdicts, planted differences, intervals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from luthier.core.seeding import stream
from luthier.evaluation.comparison import compare
from luthier.evaluation.statistics import power, smallest_difference
from luthier.evaluation.statistics.power import power_of_mean

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "verdicts"))
from worlds import ROWS, World

TRIALS = 300


def verdicts(world: World) -> list[str]:
    found: list[str] = []
    for trial in range(TRIALS):
        base, candidate = world.draw(stream(trial, "test"))
        found.append(compare(base, candidate, world.metric, resamples=1_000, seed=trial).verdict)
    return found


@pytest.mark.parametrize(
    "world",
    [World("exact_match", 0.5), World("token_f1", 0.5), World("exact_match", 0.5, copies=5)],
    ids=["exact match", "token F1", "five equal rows a cluster"],
)
def test_equal_answerers_are_seldom_told_apart(world: World) -> None:
    found = verdicts(world)
    false = TRIALS - found.count("not shown")
    # 5 % of 300 is 15, with a standard deviation of 3.8.
    assert 4 <= false <= 26


@pytest.mark.parametrize("copies", [1, 5])
def test_planted_shares_are_found_as_often_as_predicted(copies: int) -> None:
    difference = smallest_difference(ROWS)
    assert difference is not None
    found = verdicts(World("exact_match", 0.5, difference, copies=copies)).count("better") / TRIALS
    assert found == pytest.approx(power(ROWS, difference), abs=0.07)  # three standard deviations


def test_a_planted_mean_is_found_as_often_as_predicted() -> None:
    world = World("token_f1", 0.5, 0.09)
    predicted = power_of_mean(ROWS, *world.difference())
    assert 0.4 < predicted < 0.9
    assert verdicts(world).count("better") / TRIALS == pytest.approx(predicted, abs=0.085)


def test_the_worlds_true_difference_is_true() -> None:
    world = World("token_f1", 0.3, 0.2)
    base, candidate = world.outcomes(np.random.default_rng(0), 100_000)
    difference, deviation = world.difference()
    assert (candidate - base).mean() / 12 == pytest.approx(difference, abs=0.003)
    assert ((candidate - base) / 12).std() == pytest.approx(deviation, abs=0.003)


def test_intervals_hold_the_true_score() -> None:
    world = World("token_f1", 0.8)
    held = 0
    for trial in range(TRIALS):
        base, _ = world.draw(stream(trial, "held"))
        interval = base.interval("token_f1", resamples=1_000, seed=trial)
        held += interval.low <= 0.8 <= interval.high
    assert 0.91 <= held / TRIALS <= 0.985
