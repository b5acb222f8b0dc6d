"""Comparisons: verdicts, their consistency with the interval, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, user
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare, judge, relative_change_percent
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Interval, Scores, rows_needed, smallest_difference


def shares(name: str, outcomes: list[int], copies: int = 1, metric: str = "exact_match") -> Scores:
    """Scores of an answerer that has the given rows right."""
    examples, answers = [], []
    for row, outcome in enumerate(outcomes):
        for copy in range(copies):
            identity = f"{row}.{copy}"
            examples.append(Example(identity, user("?"), ("yes",), f"c{row}" if copies > 1 else None))
            answers.append(Answer(identity, "yes" if outcome else "no", "stop"))
    return Scores.measure(name, examples, answers, [build_metric(metric)])


def pair(wins: int, losses: int, n: int = 80, copies: int = 1) -> Comparison:
    base = [0] * wins + [1] * losses + [1] * (n - wins - losses)
    candidate = [1] * wins + [0] * losses + [1] * (n - wins - losses)
    return compare(shares("base", base, copies), shares("tuned", candidate, copies), "exact_match")


def continuous(values: np.ndarray, name: str = "m", clusters: list[str | None] | None = None) -> Scores:
    n = len(values)
    return Scores(
        answerer=name,
        metrics=(build_metric("token_f1"),),
        example_ids=tuple(map(str, range(n))),
        clusters=tuple(clusters or [None] * n),
        finishes=("stop",) * n,
        rows={"token_f1": np.asarray(values, dtype=float)[:, None]},
    )


def test_a_difference_is_shown() -> None:
    found = pair(wins=12, losses=2)
    assert found.verdict == "better"
    assert found.difference == pytest.approx(10 / 80)
    assert found.base_value == pytest.approx(68 / 80)
    # P(more than 12 of 14) = 15/16384, P(12) = 91/16384
    assert found.p_value == pytest.approx(2 * (15 + 91 / 2) / 16384)
    assert (found.wins, found.losses, found.rows, found.clusters) == (12, 2, 80, 80)
    assert found.rows_to_show is None
    assert found.sentence() == (
        "tuned is better than base: exact match 97.5 % against 85.0 %, a difference of +12.5 points "
        "(95 % interval +3.9 to +22.4; p = 0.007; 80 rows). That holds for these two models on such rows; another "
        "training run of the same method may differ."
    )
    assert pair(wins=2, losses=12).verdict == "worse"
    assert "tuned is worse than base" in pair(wins=2, losses=12).sentence()


def test_no_difference_is_shown_and_how_many_rows_would() -> None:
    found = pair(wins=8, losses=4)
    assert found.verdict == "not shown"
    assert found.rows_to_show == rows_needed(0.05, 12 / 80)
    smallest = smallest_difference(80, 12 / 80)
    assert smallest is not None
    assert found.smallest_difference == pytest.approx(smallest)
    assert found.sentence("the model", "the adapter") == (
        "No difference is shown between the adapter and the model: exact match 95.0 % against 90.0 %, a difference of "
        "+5.0 points (95 % interval −3.9 to +14.5; p = 0.267; 80 rows). About 461 rows would show a difference of this "
        "size. 80 rows like these can show one of 11.4 points."
    )


def test_equal_scores_need_no_number_of_rows() -> None:
    found = pair(wins=3, losses=3)
    assert found.rows_to_show is None
    assert "a difference of 0.0 points" in found.sentence()
    assert pair(0, 0).verdict == "not shown"


def test_verdict_and_interval_agree_on_all_outcomes_of_eighty_rows() -> None:
    counted = {"better": 0, "not shown": 0}
    for losses in range(0, 20, 2):
        for wins in range(losses, 31):
            found = pair(wins, losses)
            counted[found.verdict] += 1
            assert (found.verdict == "better") == (found.p_value <= 0.05)
            assert (found.interval.low > 0) == (found.verdict == "better")
    assert min(counted.values()) > 50


def test_an_interval_that_would_exclude_zero_without_the_test_is_widened() -> None:
    # Four wins to none: p = 1/16, but the score statistic is 2.
    found = pair(wins=4, losses=0)
    assert (found.verdict, found.interval.low, found.interval_widened) == ("not shown", 0.0, True)
    assert "The interval was widened to hold zero" in found.sentence()
    assert not pair(wins=5, losses=0).interval_widened


def test_five_equal_rows_a_cluster_count_once() -> None:
    once, copied = pair(12, 2), pair(12, 2, copies=5)
    assert copied.p_value == pytest.approx(once.p_value, abs=1e-12)
    assert (copied.rows, copied.clusters, copied.wins) == (400, 80, 60)
    assert copied.smallest_difference == pytest.approx(once.smallest_difference)
    assert copied.interval.high - copied.interval.low == pytest.approx(once.interval.high - once.interval.low, rel=0.15)
    open_once, open_copied = pair(8, 4), pair(8, 4, copies=5)
    assert open_once.rows_to_show is not None
    assert open_copied.rows_to_show == 5 * open_once.rows_to_show
    assert "400 rows in 80 clusters" in copied.sentence()


def test_lower_is_better_turns_the_verdict() -> None:
    def failing(name: str, count: int) -> Scores:
        examples = [Example(str(i), user("?"), ("yes",)) for i in range(40)]
        answers = [Answer(str(i), "yes", "stop") for i in range(count, 40)]
        return Scores.measure(name, examples, answers, [build_metric("failed")])

    found = compare(failing("base", 12), failing("tuned", 1), "failed")
    assert (found.verdict, found.wins, found.losses) == ("better", 11, 0)
    assert found.difference == pytest.approx(-11 / 40)
    assert "Failed or missing answers, scored as wrong: 12 of the base, 1 of the candidate." in found.sentence()


def test_continuous_scores() -> None:
    random = np.random.default_rng(0)
    base = random.uniform(0.2, 0.6, 80)
    better = base + random.normal(0.05, 0.1, 80)
    found = compare(continuous(base, "base"), continuous(better, "tuned"), "token_f1")
    assert found.verdict == "better"
    assert found.interval.low > 0
    assert found.test == "permutation by cluster, 10,000 draws"
    assert not found.is_share
    assert found.relative_percent == pytest.approx(100 * (better.mean() / base.mean() - 1))
    assert f", {found.relative_percent:+.2f} %" in found.sentence()
    assert found == compare(continuous(base, "base"), continuous(better, "tuned"), "token_f1")


def test_rows_to_show_of_continuous_scores_by_hand() -> None:
    # Differences of standard deviation 1/5 and mean 0.1 / 5: half of Cohen's 34 pairs would be for 0.1.
    differences = np.tile([-0.2, 0.2], 20) * np.sqrt(39 / 40)
    base = continuous(np.full(40, 0.5))
    found = compare(base, continuous(0.5 + differences + 0.02), "token_f1")
    assert found.verdict == "not shown"
    assert found.rows_to_show == pytest.approx((2.8016 * 0.2 / 0.02) ** 2 + 2, abs=2)
    assert found.smallest_difference == pytest.approx(0.2 * 2.8016 / np.sqrt(40), rel=0.04)


def test_too_few_clusters_can_show_nothing() -> None:
    base, tuned = continuous(np.linspace(0.1, 0.3, 5)), continuous(np.linspace(0.8, 0.9, 5))
    found = compare(base, tuned, "token_f1")
    assert (found.p_value, found.verdict, found.smallest_difference) == (2 / 32, "not shown", None)
    assert "These are too few to show any difference." in found.sentence()
    assert found.interval.low == 0.0


def test_the_order_of_examples_does_not_matter() -> None:
    base = shares("base", [1, 0, 1, 1, 0, 0, 1])
    answers = [Answer(i, "yes", "stop") for i in reversed(base.example_ids)]
    examples = [Example(i, user("?"), ("yes",)) for i in reversed(base.example_ids)]
    tuned = Scores.measure("tuned", examples[3:] + examples[:3], answers[1:], [build_metric("exact_match")])
    found = compare(base, tuned, "exact_match")
    # The last example in reverse order is the first, the one whose answer was left out: example 6.0.
    assert (found.wins, found.losses) == (3, 1)


def test_as_good_within_a_margin() -> None:
    same = pair(1, 1, n=300)
    base, tuned = shares("base", [1, 0] + [1] * 298), shares("tuned", [0, 1] + [1] * 298)
    found = compare(base, tuned, "exact_match", margin=0.05)
    assert same.verdict == "not shown"
    assert found.verdict == "as good within the margin"
    assert "tuned is as good as base within 5.0 points" in found.sentence()
    assert compare(base, tuned, "exact_match", margin=0.01).verdict == "not shown"
    for margin in (0, 5):
        with pytest.raises(
            ConfigError, match=rf"in the score's unit \(0\.02 is two points.*received {margin} for exact"
        ):
            compare(base, tuned, "exact_match", margin=margin)


def interval(low: float, value: float, high: float) -> Interval:
    return Interval(value, low, high, 0.95, "by hand", 80, 80)


@pytest.mark.parametrize(
    ("limits", "p", "margin", "higher", "verdict"),
    [
        ((0.01, 0.02, 0.03), 0.01, None, True, "better"),
        ((0.01, 0.02, 0.03), 0.01, None, False, "worse"),
        ((-0.03, -0.02, -0.01), 0.01, None, True, "worse"),
        ((-0.03, -0.02, -0.01), 0.01, None, False, "better"),
        ((0.01, 0.02, 0.03), 0.051, None, True, "not shown"),
        ((-0.001, 0.02, 0.03), 0.01, None, True, "not shown"),  # test and interval disagree: the cautious one
        ((0.0, 0.02, 0.03), 0.01, None, True, "not shown"),
        ((-0.01, 0.0, 0.01), 1.0, 0.02, True, "as good within the margin"),
        ((-0.02, 0.0, 0.01), 1.0, 0.02, True, "not shown"),  # touching the margin is not inside
        ((-0.01, 0.0, 0.02), 1.0, 0.02, True, "not shown"),
        ((-0.015, -0.01, -0.005), 0.001, 0.02, True, "as good within the margin"),
        ((-0.03, -0.02, -0.01), 0.001, 0.02, True, "worse"),
        ((0.005, 0.01, 0.015), 0.001, 0.02, True, "better"),
    ],
)
def test_verdicts(
    limits: tuple[float, float, float], p: float, margin: float | None, higher: bool, verdict: str
) -> None:
    assert judge(interval(*limits), p, higher, 0.05, margin) == verdict


def test_disagreement_and_small_losses_are_said() -> None:
    found = pair(12, 2)
    torn = replace(found, interval=interval(-0.001, 0.1, 0.2), verdict="not shown")
    assert "The paired test alone would show a difference (p = 0.007), but the interval holds zero" in torn.sentence()
    small = replace(found, margin=0.5, verdict="as good within the margin")
    assert "There is a difference, but it is smaller than the margin." in small.sentence()


def test_several_claims_are_adjusted_together() -> None:
    claims = [pair(12, 2), pair(12, 4), pair(11, 3)]
    assert [c.verdict for c in claims] == ["better"] * 3
    adjusted = adjust_for_claims(claims)
    p = [c.p_value for c in claims]
    assert [c.p_adjusted for c in adjusted] == pytest.approx([3 * p[0], max(p[1], 2 * p[2]), 2 * p[2]])
    assert [c.verdict for c in adjusted] == ["better", "not shown", "not shown"]
    assert adjusted[1].claims == 3
    assert "as one of 3 it is not" in adjusted[1].sentence()
    assert "(adjusted for 3 claims)" in adjusted[0].sentence()
    assert [c.p_value for c in adjusted] == p


def test_relative_improvement() -> None:
    found = relative_change_percent(0.14326482896213358, 0.42774974724224635)
    assert found is not None
    assert f"{found:+.2f} %" == "+198.57 %"
    assert relative_change_percent(0.0, 0.5) is None
    assert relative_change_percent(0.5, 0.25) == -50


def test_a_comparison_survives_json() -> None:
    found = pair(8, 4)
    assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_cannot_be_compared_is_refused() -> None:
    base = shares("base", [1, 0, 1])
    with pytest.raises(
        DataError, match=r"base and tuned were not measured on the same examples: 1 are in one only, such as '3.0'"
    ):
        compare(base, shares("tuned", [1, 0, 1, 1]), "exact_match")
    with pytest.raises(DataError, match="base and base give different clusters"):
        compare(base, replace(base, clusters=("x", "x", None)), "exact_match")
    with pytest.raises(ConfigError, match="Unknown metric 'rouge1'"):
        compare(base, base, "rouge1")
    examples = [Example("1", user("?"), ("walked",))]
    stems = [
        Scores.measure("m", examples, [], [build_metric("rouge1", use_stemmer=stemmer)]) for stemmer in (True, False)
    ]
    with pytest.raises(
        DataError, match=r"m and m were measured differently: rouge1\(use_stemmer=True.*rouge1\(use_stemmer=False"
    ):
        compare(stems[0], stems[1], "rouge1")
