"""Power against enumerations, small cases by hand and published sizes."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from luthier.core.errors import ConfigError
from luthier.evaluation.statistics import power, rows_needed, smallest_difference
from luthier.evaluation.statistics.power import (
    design_effect,
    effective_rows,
    power_of_mean,
    rows_needed_for_mean,
    smallest_mean_difference,
)
from luthier.evaluation.statistics.significance import mcnemar_mid_p


def test_power_by_hand() -> None:
    # With every row a win, five rows have p = 1/32 and four have 1/16.
    assert power(5, 1) == pytest.approx(1.0)
    assert power(4, 1) == 0.0
    # Half of six rows are wins, none is a loss: shown with five or six wins, (6 + 1) / 64.
    assert power(6, 0.5, discordance=0.5) == pytest.approx(7 / 64)
    # A difference beyond the discordance brings its own discordant rows.
    assert power(6, 0.5, discordance=0.1) == pytest.approx(7 / 64)
    assert power(80, 0, discordance=0) == 0.0


@pytest.mark.parametrize(("n", "difference", "discordance", "alpha"), [(12, 0.3, 0.4, 0.05), (15, 0.2, 0.2, 0.1)])
def test_power_is_the_sum_over_all_outcomes(n: int, difference: float, discordance: float, alpha: float) -> None:
    win, loss = (discordance + difference) / 2, (discordance - difference) / 2
    total = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            if wins > losses and mcnemar_mid_p(wins, losses) <= alpha:
                same = n - wins - losses
                ways = comb(n, wins) * comb(n - wins, losses)
                total += ways * win**wins * loss**losses * (1 - win - loss) ** same
    assert power(n, difference, discordance, alpha) == pytest.approx(total, abs=1e-12)


def test_equal_answerers_are_called_different_at_about_alpha() -> None:
    assert 2 * power(80, 0, discordance=0.4) == pytest.approx(0.05, abs=0.01)
    assert 2 * power(80, 0, discordance=0.2) <= 0.056


def test_smallest_difference_and_rows_needed_answer_each_other() -> None:
    smallest = smallest_difference(80)
    assert smallest is not None
    assert smallest == pytest.approx(0.1332, abs=1e-4)
    assert power(80, smallest) == pytest.approx(0.8, abs=1e-4)
    assert power(80, smallest - 1e-4) < 0.8
    assert rows_needed(smallest) <= 80
    assert smallest_difference(4) is None
    assert smallest_difference(5, power=0.9) == pytest.approx(0.9**0.2, abs=1e-5)  # all five rows must be wins


@pytest.mark.parametrize(("difference", "discordance"), [(0.05, 0.2), (0.1, 0.3), (0.2, 0.2), (0.01, 0.1)])
def test_rows_needed_is_the_fewest(difference: float, discordance: float) -> None:
    n = rows_needed(difference, discordance)
    assert power(n, difference, discordance) >= 0.8 > power(n - 1, difference, discordance)


def test_rows_needed_is_near_the_textbooks_approximation() -> None:
    # Miettinen: (1.96 sqrt(0.2) + 0.8416 sqrt(0.2 - 0.05^2))^2 / 0.05^2 = 625
    assert rows_needed(0.05, 0.2) == pytest.approx(625, abs=8)
    assert rows_needed(0.0005, 0.2) == pytest.approx(6_279_000, rel=0.01)


def test_power_of_means_is_that_of_the_paired_t_test() -> None:
    # Cohen: 34 pairs for an effect of half a standard deviation (power 0.808).
    assert rows_needed_for_mean(0.5, 1.0) == 34
    assert power_of_mean(34, 0.5, 1.0) == pytest.approx(0.8078, abs=5e-4)
    assert power_of_mean(34, -5, 10) == pytest.approx(0.8078, abs=5e-4)
    smallest = smallest_mean_difference(34, 1.0)
    assert smallest is not None
    assert power_of_mean(34, smallest, 1.0) == pytest.approx(0.8, abs=1e-4)
    assert smallest_mean_difference(1, 1.0) is None
    assert power_of_mean(50_000, 0.5, 1.0) == 1.0


def test_copies_count_once() -> None:
    values, codes = np.repeat([1.0, 0, 0, 1, 1, 0, 1, 0], 5), np.repeat(np.arange(8), 5)
    assert design_effect(values, codes) == pytest.approx(5.0)
    assert effective_rows(values, codes) == pytest.approx(8.0)
    assert design_effect(values, np.arange(40)) == 1.0
    # Rows of a cluster that balance each other do not make more of n rows.
    assert design_effect(np.tile([1.0, 0.0], 10), np.repeat(np.arange(10), 2)) == 1.0
    assert design_effect(np.zeros(40), codes) == 5.0


def test_half_alike_clusters_by_hand() -> None:
    # Cluster sums of the centred values: 1, 0, 0, -1. Together 2 * 4/3 / 64, apart 8 * 0.25 / 56: 7/6.
    values, codes = np.array([1.0, 1, 1, 0, 0, 1, 0, 0]), np.repeat(np.arange(4), 2)
    assert design_effect(values, codes) == pytest.approx((2 * 4 / 3 / 64) / (2 / 56))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power(80, 5), "between 0 and 1 .0.05 is five percentage points.; received 5"),
        (lambda: power(80, -0.1), "received -0.1"),
        (lambda: power(80, 0.05, 20), "share of rows between 0 and 1; received 20"),
        (lambda: power(80, 0.05, alpha=5), "alpha lies between 0 and 1"),
        (lambda: rows_needed(0), "No number of rows"),
        (lambda: rows_needed_for_mean(0, 1), "No number of rows"),
        (lambda: smallest_difference(80, power=80), "Power lies between 0 and 1"),
    ],
)
def test_numbers_out_of_range(call: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()  # type: ignore[operator]
