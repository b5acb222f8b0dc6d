"""Intervals against closed forms, independent computations and known limits."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, t

from luthier.core.errors import ConfigError
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Interval, against_target
from luthier.evaluation.statistics.intervals import _mid_quantiles, difference_interval, score_interval
from luthier.evaluation.statistics.resampling import bootstrap, cluster_codes, leave_one_out, statistic_of
from luthier.evaluation.statistics.shares import paired_share_interval, wilson
from luthier.evaluation.statistics.targets import TargetCheck

EXACT, F1, MACRO = build_metric("exact_match"), build_metric("token_f1"), build_metric("macro_f1", labels=("a", "b"))


class Median:
    """A metric that is no function of the mean row."""

    name = "median"
    higher_is_better = True

    def measure(self, example: object, answer: object) -> tuple[float, ...]:
        return (0.0,)

    def value(self, rows: np.ndarray) -> np.ndarray:
        return np.median(rows[..., 0], axis=-1)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


# ---------------------------------------------------------------- shares


def test_wilson_of_eight_in_ten() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-7)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 80), (40, 80), (79, 80), (80, 80)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(successes: int, n: int, level: float) -> None:
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def likeliest_score(wins: int, losses: int, n: int, difference: float) -> float:
    """The score statistic with the nuisance share found by numerical maximum likelihood instead of Tango's formula."""

    def minus_log_likelihood(loss: float) -> float:
        win, same = loss + difference, 1 - 2 * loss - difference
        terms = ((wins, win), (losses, loss), (n - wins - losses, same))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    return (wins - losses - n * difference) / math.sqrt(n * (2 * found.x + difference - difference**2))


@pytest.mark.parametrize(("wins", "losses", "n"), [(12, 4, 80), (1, 9, 80), (7, 1, 20), (3, 3, 30)])
def test_tango_limits_are_where_the_score_statistic_is_1_96(wins: int, losses: int, n: int) -> None:
    low, high = paired_share_interval(wins, losses, n)
    assert low < (wins - losses) / n < high
    assert likeliest_score(wins, losses, n, low) == pytest.approx(1.959964, abs=1e-3)
    assert likeliest_score(wins, losses, n, high) == pytest.approx(-1.959964, abs=1e-3)


def test_tango_by_hand_where_all_rows_agree() -> None:
    # With no discordant row the statistic is -n d / sqrt(n d (1 - d)), so the limit is z^2 / (n + z^2).
    z2 = 1.959964**2
    assert paired_share_interval(0, 0, 80) == pytest.approx((-z2 / (80 + z2), z2 / (80 + z2)), abs=1e-6)


def test_tango_is_symmetric() -> None:
    low, high = paired_share_interval(9, 2, 50)
    assert paired_share_interval(2, 9, 50) == pytest.approx((-high, -low), abs=1e-9)


# ---------------------------------------------------------------- resampling


def test_clusters_are_numbered_in_order_and_none_stands_alone() -> None:
    assert cluster_codes(["b", None, "a", "b", None]).tolist() == [0, 1, 2, 0, 3]
    assert cluster_codes([None, "0"]).tolist() == [0, 1]


def test_resamples_keep_clusters_whole() -> None:
    rows, codes = column(1, 1, 1, 0, 0, 0), np.array([0, 0, 0, 1, 1, 1])
    values = bootstrap(statistic_of(EXACT, rows, codes), 2, 2000)
    assert set(values.tolist()) == {0.0, 0.5, 1.0}
    assert np.mean(values == 0.5) == pytest.approx(0.5, abs=0.04)


def test_clusters_of_different_size_weigh_by_their_rows() -> None:
    statistic = statistic_of(EXACT, column(1, 1, 1, 0), np.array([0, 0, 0, 1]))
    assert statistic(np.array([[1.0, 1.0], [2.0, 1.0], [0.0, 1.0]])).tolist() == pytest.approx([3 / 4, 6 / 7, 0.0])


@pytest.mark.parametrize("metric", [F1, MACRO])
def test_matrix_products_give_what_rows_give(metric: object) -> None:
    """The fast path by sums against the slow path by repeated rows."""
    random = np.random.default_rng(0)
    rows = random.random((12, 1)) if metric is F1 else random.integers(0, 2, (12, 6)).astype(float)
    codes = np.array([0, 0, 1, 2, 2, 2, 3, 4, 4, 5, 6, 6])

    class Slow:
        name, higher_is_better = "slow", True
        value = staticmethod(metric.value)  # type: ignore[attr-defined]

    counts = random.integers(0, 3, (20, 7)).astype(float) + (np.arange(7) == 0)
    fast, slow = statistic_of(metric, rows, codes), statistic_of(Slow(), rows, codes)  # type: ignore[arg-type]
    assert fast(counts) == pytest.approx(slow(counts), abs=1e-12)


def test_leave_one_out_by_hand() -> None:
    statistic = statistic_of(F1, column(0.0, 0.3, 0.9), np.arange(3))
    assert leave_one_out(statistic, 3).tolist() == pytest.approx([0.6, 0.45, 0.15])


# ---------------------------------------------------------------- scores


def test_shares_get_wilson_and_clusters_the_bootstrap() -> None:
    rows = column(*[1] * 8, 0, 0)
    own = score_interval(EXACT, rows, np.arange(10))
    assert (own.low, own.high, own.method) == (*wilson(8, 10), "Wilson")
    clustered = score_interval(EXACT, np.repeat(rows, 3, axis=0), np.repeat(np.arange(10), 3))
    assert clustered.method == "bootstrap (BCa, expanded)"
    assert (clustered.rows, clustered.clusters) == (30, 10)


def test_copies_of_rows_do_not_shorten_an_interval() -> None:
    random = np.random.default_rng(4)
    rows = random.random((40, 1))
    once = score_interval(F1, rows, np.arange(40))
    copied = score_interval(F1, np.repeat(rows, 5, axis=0), np.repeat(np.arange(40), 5))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_the_bootstrap_of_a_symmetric_mean_is_about_students() -> None:
    rows = np.linspace(0.2, 0.8, 80)[:, None]
    own = score_interval(F1, rows, np.arange(80))
    half = float(t.ppf(0.975, 79)) * rows.std(ddof=1) / math.sqrt(80)
    assert own.high - own.low == pytest.approx(2 * half, rel=0.03)
    assert (own.high + own.low) / 2 == pytest.approx(0.5, abs=0.003)


def test_skew_is_seen() -> None:
    """A long tail to the right: the upper side must be the longer one."""
    rows = (np.linspace(0.01, 0.99, 40) ** 6)[:, None]
    own = score_interval(F1, rows, np.arange(40))
    assert own.high - own.value > 1.2 * (own.value - own.low)


def test_quantiles_take_ties_at_the_middle_of_their_step() -> None:
    # Half of the values are 0: their step goes from 0 to 0.5, its middle is 0.25.
    assert _mid_quantiles(np.array([0.0, 0, 1, 1]), [0.01, 0.25, 0.5, 0.75, 0.99]) == (0.0, 0.0, 0.5, 1.0, 1.0)
    assert _mid_quantiles(np.array([1.0, 2, 3, 4]), [0.125, 0.5]) == (1.0, 2.5)


def test_few_clusters_get_students_interval_within_bounds() -> None:
    own = score_interval(F1, column(0.2, 0.4, 0.9), np.arange(3))
    error = np.std([0.2, 0.4, 0.9], ddof=1) / math.sqrt(3)
    assert own.value + float(t.ppf(0.975, 2)) * error > 1
    assert (own.low, own.high, own.method) == (0.0, 1.0, "Student's t over clusters")
    wide = score_interval(F1, column(0.4, 0.5, 0.55), np.arange(3), level=0.5)
    error = np.std([0.4, 0.5, 0.55], ddof=1) / math.sqrt(3)
    assert wide.high - wide.value == pytest.approx(float(t.ppf(0.75, 2)) * error)


def test_scores_that_are_all_alike_still_have_an_interval() -> None:
    ones = score_interval(F1, column(*[1.0] * 20), np.arange(20))
    assert (ones.low, ones.high) == wilson(20, 20)
    clustered = score_interval(EXACT, column(*[1.0] * 100), np.repeat(np.arange(20), 5))
    assert (clustered.low, clustered.high) == wilson(20, 20)
    single = score_interval(F1, column(0.7), np.arange(1))
    assert single.low < 0.2
    assert single.high > 0.9


def test_a_metric_of_any_kind_is_resampled_row_by_row() -> None:
    rows = np.arange(21.0)[:, None]
    own = score_interval(Median(), rows, np.arange(21), resamples=1000)
    assert own.value == 10
    assert 4 <= own.low <= 7
    assert 13 <= own.high <= 16
    alike = score_interval(Median(), column(*[30.0] * 9), np.arange(9))
    assert (alike.low, alike.high, alike.method) == (30.0, 30.0, "all clusters alike")


def test_intervals_are_deterministic_and_seeded() -> None:
    rows, codes = np.random.default_rng(0).random((30, 1)), np.arange(30)
    assert score_interval(F1, rows, codes) == score_interval(F1, rows, codes)
    assert score_interval(F1, rows, codes, seed=1) != score_interval(F1, rows, codes)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(ConfigError, match=r"lies between 0 and 1, such as 0\.95"):
        score_interval(F1, column(0.1, 0.2), np.arange(2), level=level)


def test_an_interval_survives_json() -> None:
    own = score_interval(F1, column(0.1, 0.5, 0.9, 0.3, 0.2, 0.8, 0.7), np.arange(7))
    assert Interval.from_json(json.loads(json.dumps(own.to_json()))) == own


# ---------------------------------------------------------------- differences


def test_differences_of_shares_get_tangos() -> None:
    base, candidate = column(1, 0, 0, 0, 1, 1), column(1, 1, 1, 0, 0, 1)
    own = difference_interval(EXACT, base, candidate, np.arange(6))
    assert (own.value, own.method) == (pytest.approx(1 / 6), "Tango")
    assert (own.low, own.high) == paired_share_interval(2, 1, 6)


def test_pairs_are_resampled_together() -> None:
    """The two differ by 0.1 to 0.12 on every row, though rows differ widely: the interval must be tight."""
    base = np.linspace(0, 0.8, 40)[:, None]
    candidate = base + 0.1 + 0.02 * (np.arange(40)[:, None] % 2)
    own = difference_interval(F1, base, candidate, np.arange(40))
    assert own.value == pytest.approx(0.11)
    assert 0.1 <= own.low < own.high <= 0.12
    assert own.high - own.low == pytest.approx(2 * 2.02 * 0.0101 / math.sqrt(40), rel=0.1)


def test_differences_that_are_all_alike_still_have_an_interval() -> None:
    same = column(*np.linspace(0.1, 0.9, 20))
    own = difference_interval(F1, same, same, np.arange(20))
    assert (own.low, own.high) == paired_share_interval(0, 0, 20)
    base, candidate = column(*[0.0] * 50), column(*[1.0] * 50)
    shifted = difference_interval(EXACT, base, candidate, np.repeat(np.arange(10), 5))
    assert (shifted.low, shifted.high) == paired_share_interval(10, 0, 10)


# ---------------------------------------------------------------- targets


def interval(low: float, value: float, high: float) -> Interval:
    return Interval(value, low, high, 0.95, "by hand", 100, 100)


def test_a_target_is_shown_not_reached_or_open() -> None:
    assert against_target(interval(0.81, 0.85, 0.89), 0.8).status == "shown"
    assert against_target(interval(0.8, 0.85, 0.89), 0.8).status == "shown"
    assert against_target(interval(0.7, 0.75, 0.79), 0.8).status == "not reached"
    assert against_target(interval(0.7, 0.75, 0.8), 0.8).status == "not shown"
    assert against_target(interval(0.01, 0.02, 0.04), 0.05, higher_is_better=False).status == "shown"
    assert against_target(interval(0.06, 0.08, 0.1), 0.05, higher_is_better=False).status == "not reached"
    assert against_target(interval(0.04, 0.08, 0.1), 0.05, higher_is_better=False).status == "not shown"


def test_rows_that_would_decide_by_hand() -> None:
    # The lower side is 0.08 long and must shrink to 0.04 / (1 + 0.8416 / 1.96): 100 (2 * 1.4294)^2 = 817.3 rows.
    check = against_target(interval(0.76, 0.84, 0.9), 0.8)
    assert check.rows_to_decide == 818
    assert check.sentence().endswith("is not shown: 0.84. About 818 rows would decide.")
    # Below the target the upper side counts: 0.06 to 0.04.
    assert against_target(interval(0.66, 0.76, 0.82), 0.8).rows_to_decide == math.ceil(100 * (1.5 * 1.429412) ** 2)
    assert against_target(interval(0.7, 0.8, 0.9), 0.8).rows_to_decide is None
    assert TargetCheck.from_json(json.loads(json.dumps(check.to_json()))) == check
