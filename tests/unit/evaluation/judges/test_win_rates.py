"""Win rates of a judge's verdicts: counted by hand, with their intervals, places and lengths."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from luthier.core.types import Example, user
from luthier.evaluation.judges.comparison import adjusted_for_claims, compare_by_verdicts
from luthier.evaluation.judges.length_control import fit, length_controlled
from luthier.evaluation.judges.pairwise import Outcome, PairVerdict
from luthier.evaluation.judges.win_rate import PlaceBias
from luthier.evaluation.statistics.shares import wilson

FEW = 500
"""Resamples, where the interval's last digit does not matter."""


def rows(count: int, per_cluster: int = 1) -> list[Example]:
    return [Example(str(i), user("?"), cluster=str(i // per_cluster)) for i in range(count)]


def verdicts(*outcomes: Outcome) -> list[PairVerdict]:
    return [PairVerdict(str(i), outcome, (outcome, outcome)) for i, outcome in enumerate(outcomes)]


def outcomes_of(second: int, first: int, tie: int) -> list[PairVerdict]:
    return verdicts(*["second"] * second, *["first"] * first, *["tie"] * tie)  # type: ignore[list-item]


def test_a_win_rate_counts_ties_half() -> None:
    found = compare_by_verdicts(rows(40), ("a", "b"), [(5, 5)] * 40, outcomes_of(26, 8, 6), resamples=FEW)
    assert (found.won, found.lost, found.tied) == (26, 8, 6)
    assert found.win_rate.value == pytest.approx((26 + 3) / 40)
    assert 0.5 < found.win_rate.low < 0.725 < found.win_rate.high < 0.9
    assert found.comparison.verdict == "better"
    assert found.length is None
    said = found.sentence()
    assert said.startswith("b is better than a by this judge: win rate 72.5 %, ties half (95 % interval ")
    assert "40 rows: 26 won, 8 lost, 6 tied)." in said
    assert found.length_sentence() == "all answers of a pair are equally long"


def test_the_other_way_round_is_worse_and_mirrored() -> None:
    here = compare_by_verdicts(rows(40), ("a", "b"), [(5, 5)] * 40, outcomes_of(26, 8, 6), resamples=FEW)
    there = compare_by_verdicts(rows(40), ("b", "a"), [(5, 5)] * 40, verdicts(
        *["first"] * 26, *["second"] * 8, *["tie"] * 6), resamples=FEW)  # type: ignore[list-item]  # fmt: skip
    assert there.comparison.verdict == "worse"
    assert there.win_rate.value == pytest.approx(1 - here.win_rate.value)
    assert there.comparison.p_value == pytest.approx(here.comparison.p_value)


def test_without_ties_the_interval_is_that_of_pairs_and_few_rows_show_nothing() -> None:
    found = compare_by_verdicts(rows(20), ("a", "b"), [(5, 5)] * 20, outcomes_of(12, 8, 0))
    assert found.comparison.interval.method == "Tango"
    assert found.win_rate.low == pytest.approx(wilson(12, 20)[0], abs=0.01)
    assert found.comparison.verdict == "not shown"
    said = found.sentence()
    assert said.startswith("No difference is shown between b and a by this judge: win rate 60.0 %")
    assert "rows would show a difference of this size." in said
    assert "20 rows like these can show a win rate of " in said


def test_rows_of_one_cluster_count_together() -> None:
    alone, together = (
        compare_by_verdicts(rows(60, size), ("a", "b"), [(5, 5)] * 60, outcomes_of(36, 18, 6), resamples=FEW)
        for size in (1, 6)
    )
    assert (alone.comparison.clusters, together.comparison.clusters) == (60, 10)
    width = [found.win_rate.high - found.win_rate.low for found in (alone, together)]
    assert width[1] > 1.5 * width[0]
    assert "60 rows in 10 clusters" in together.sentence()


def test_several_candidates_claim_together_and_a_margin_is_that_of_the_win_rate() -> None:
    one = compare_by_verdicts(rows(40), ("a", "b"), [(5, 5)] * 40, outcomes_of(27, 13, 0), margin=0.4, resamples=FEW)
    assert one.comparison.margin == pytest.approx(0.8)
    assert one.comparison.verdict == "better"
    both = adjusted_for_claims([one, one])
    assert [found.comparison.verdict for found in both] == ["as good within the margin"] * 2
    assert both[0].comparison.p_adjusted == pytest.approx(2 * one.comparison.p_value)
    assert "b is as good as a by this judge, within 40.0 points" in both[0].sentence()


# ------------------------------------------------------------------------------------------------------------ places


def test_places_are_counted_over_what_was_read() -> None:
    found = PlaceBias.of(
        [
            PairVerdict("1", "tie", ("first", "second")),  # A in both orders
            PairVerdict("2", "tie", ("first", "second")),
            PairVerdict("3", "tie", ("second", "first")),  # B in both orders
            PairVerdict("4", "tie", ("first", "tie")),
            PairVerdict("5", "first", ("first", "first")),
            PairVerdict("6", "tie"),  # equal answers
            PairVerdict("7", "tie", failed=True),
        ]
    )
    assert (found.asked, found.disagree, found.to_a, found.to_b, found.failed) == (5, 4, 2, 1, 1)
    assert found.share == 0.8
    assert (found.low, found.high) == wilson(4, 5)
    assert "disagree on 4 of 5 pairs, 80.0 %" in found.sentence()
    assert "answer A preferred whichever it was in 40.0 %, answer B in 20.0 %" in found.sentence()
    assert PlaceBias.of([PairVerdict("1", "tie")]).sentence().startswith("no pair had to be read")


# ----------------------------------------------------------------------------------------------------------- lengths


def test_the_fit_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    feature, points = np.tanh(random.normal(size=300)), random.choice([0.0, 0.5, 1.0], 300)
    weights = random.integers(0, 4, (3, 300)).astype(float)
    ours = fit(feature, points, weights)
    for row, (theta, phi) in zip(weights, ours, strict=True):
        reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(
            np.concatenate([feature, feature])[:, None],
            np.repeat([1, 0], 300),
            sample_weight=np.concatenate([row * points, row * (1 - points)]),
        )
        assert theta == pytest.approx(reference.intercept_[0], abs=1e-5)
        assert phi == pytest.approx(reference.coef_[0, 0], abs=1e-5)


def planted(theta: float, phi: float, shift: float, count: int = 3000) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Verdicts of a judge that likes length, on answers of which the second is longer by `shift` on average."""
    random = np.random.default_rng(1)
    difference = random.normal(shift, 100, count).round()
    p = 1 / (1 + np.exp(-(theta + phi * np.tanh(difference / difference.std()))))
    lengths = [(1000, 1000 + int(d)) for d in difference]
    return (random.random(count) < p).astype(float), lengths


def test_length_control_takes_out_a_planted_liking_for_length() -> None:
    points, lengths = planted(theta=0.0, phi=2.0, shift=80)
    found = length_controlled(points, lengths, np.arange(len(points)) // 10, resamples=200)
    assert found is not None
    assert points.mean() > 0.65  # the plain win rate is length alone
    assert found.slope == pytest.approx(2.0, abs=0.3)
    assert found.interval.value == pytest.approx(0.5, abs=0.04)
    assert found.interval.low < 0.5 < found.interval.high
    assert not found.one_sided


def test_length_control_leaves_a_real_difference() -> None:
    points, lengths = planted(theta=0.8, phi=0.0, shift=80)
    found = length_controlled(points, lengths, np.arange(len(points)) // 10, resamples=200)
    assert found is not None
    assert found.interval.value == pytest.approx(1 / (1 + np.exp(-0.8)), abs=0.04)
    assert found.interval.low > 0.6
    assert abs(found.slope) < 0.3


def test_a_difference_that_is_length_is_said_to_be() -> None:
    points, lengths = planted(theta=0.0, phi=2.0, shift=80, count=400)
    judged = verdicts(*("second" if point else "first" for point in points))  # type: ignore[arg-type]
    found = compare_by_verdicts(rows(400), ("a", "b"), lengths, judged, resamples=FEW)
    assert found.comparison.verdict == "better"
    assert found.length_explains
    assert "may be length that this judge prefers" in found.length_sentence()


def test_equal_length_that_was_hardly_seen_is_called_a_guess() -> None:
    points = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0] * 5)
    found = length_controlled(points, [(10, 20 + i) for i in range(30)], np.arange(30), resamples=50)
    assert found is not None
    assert found.longer == 1.0
    assert found.one_sided
    assert length_controlled(points, [(10, 10)] * 30, np.arange(30), resamples=50) is None


def test_a_side_that_wins_everything_is_fitted_without_bounds_broken() -> None:
    found = length_controlled(np.ones(12), [(10, 10 + i % 3) for i in range(12)], np.arange(12), resamples=50)
    assert found is not None
    assert 0.99 < found.interval.value <= 1.0
    assert 0.0 <= found.interval.low <= found.interval.high <= 1.0
