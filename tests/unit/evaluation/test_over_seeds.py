"""Groups of runs with different seeds: the arithmetic by hand, verdicts, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, user
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores
from luthier.evaluation.statistics.intervals import difference_interval
from luthier.evaluation.statistics.over_seeds import score_over_seeds
from luthier.evaluation.statistics.resampling import cluster_codes
from luthier.evaluation.statistics.seeds import Group, TwoLevels, quantile

F1 = build_metric("token_f1")
LABELS = ("yes", "no")


def scored(values: np.ndarray, name: str, metric: str = "token_f1") -> Scores:
    n = len(values)
    rows = {metric: np.asarray(values, dtype=float)[:, None]}
    return Scores(name, (build_metric(metric),), tuple(map(str, range(n))), (None,) * n, ("stop",) * n, rows)


def group(values: np.ndarray, name: str, metric: str = "token_f1") -> list[Scores]:
    """Runs from a table of scores `[k, n]`."""
    return [scored(row, f"{name}{i}", metric) for i, row in enumerate(values, 1)]


def table(runs: int, rows: int = 60, mean: float = 0.5, scatter: float = 0.03, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rights = random.normal(mean, 0.1, rows) + random.normal(0, scatter, (runs, 1)) + random.normal(0, 0.1, (runs, rows))
    return np.clip(rights, 0, 1)


# ----------------------------------------------------------------------------------------------------- the variances


def test_the_parts_of_a_groups_scatter_are_those_of_an_analysis_of_variance() -> None:
    values = table(3, rows=40)
    found = Group.of(F1, [row[:, None] for row in values], cluster_codes([None] * 40))
    apart = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    assert found.between == pytest.approx(values.mean(axis=1).var(ddof=1))
    assert found.shared == pytest.approx((apart**2).sum() / (2 * 39) / 40)  # mean square of the interaction, a row's
    assert Group.of(F1, [values[0][:, None]], cluster_codes([None] * 40)) == Group(1)


def test_runs_that_differ_by_a_constant_share_nothing_with_examples() -> None:
    row = np.linspace(0.2, 0.6, 30)
    found = Group.of(F1, [row[:, None], row[:, None] + 0.1], cluster_codes([None] * 30))
    assert found.between == pytest.approx(0.1**2 / 2)
    assert found.shared == pytest.approx(0.0, abs=1e-15)


def test_the_scatter_of_a_score_that_is_no_mean() -> None:
    """Macro-F1 of two labels on rows (right label, answer); each run left one row out, by hand."""
    metric = build_metric("macro_f1", labels=LABELS)

    def rows(answers: str) -> np.ndarray:
        examples = [Example(str(i), user("?"), (right,)) for i, right in enumerate(["yes", "no", "yes", "no"])]
        given = [Answer(str(i), {"y": "yes", "n": "no"}[a], "stop") for i, a in enumerate(answers)]
        return np.array([metric.measure(e, a) for e, a in zip(examples, given, strict=True)])

    found = Group.of(metric, [rows("ynyn"), rows("yyyn")], cluster_codes([None] * 4))
    # Scores 1 and (4/5 + 2/3) / 2 = 11/15. Without row 0, 1, 2, 3 the second has (2/3 + 2/3) / 2, 1, (2/3 + 2/3) / 2
    # and (4/5 + 0) / 2; the first always 1. Their halves' difference is what either is apart from the mean of both.
    assert found.between == pytest.approx((4 / 15) ** 2 / 2)
    apart = (1 - np.array([2 / 3, 1, 2 / 3, 2 / 5])) / 2
    assert found.shared == pytest.approx(2 * 3 / 4 * ((apart - apart.mean()) ** 2).sum())


def test_what_is_in_both_variances_is_counted_once() -> None:
    levels = TwoLevels((Group(4, between=8.0, shared=2.0), Group(2, between=6.0, shared=1.0)), 1.5, 80)
    assert (levels.seeds, levels.shared) == (2 + 3, 0.5 + 0.5)
    assert levels.variance == 1.5 + 5 - 1
    assert levels.degrees == pytest.approx((2 - 1) * (2 + 3) ** 2 / (2**2 + 3**2))
    t79, t = stats.t(79).ppf(0.975), stats.t(25 / 13).ppf(0.975)
    assert levels.half_width(0.05) == pytest.approx(np.sqrt(t79**2 * (1.5 - 1) + t**2 * 5))
    # Never less than over examples alone, also where the runs happen to be more alike than luck makes them.
    alike = replace(levels, groups=(Group(4, 0.01, 2.0), Group(2, 0.0, 1.0)))
    assert alike.half_width(0.05) == pytest.approx(t79 * np.sqrt(1.5))
    assert alike.variance == 1.5


def test_welchs_degrees_of_freedom_for_equal_groups() -> None:
    levels = TwoLevels((Group(5, 2.0), Group(5, 7.0)), 0.0, 80)
    a, b = 2 / 5, 7 / 5
    assert levels.degrees == pytest.approx((a + b) ** 2 / (a**2 / 4 + b**2 / 4))
    assert TwoLevels((Group(1), Group(5, 7.0)), 0.0, 80).degrees == 4  # a single run does not scatter
    assert quantile(4, 0.05) == pytest.approx(2.776445)


def test_without_chance_of_examples_it_is_welchs_test() -> None:
    first, second = [0.50, 0.53, 0.56, 0.52], [0.58, 0.61, 0.60, 0.66]
    groups = Group(4, float(np.var(first, ddof=1))), Group(4, float(np.var(second, ddof=1)))
    welch = stats.ttest_ind(second, first, equal_var=False)
    found = TwoLevels(groups, 0.0, 80).p_value(np.mean(second) - np.mean(first))
    assert found == pytest.approx(welch.pvalue, rel=1e-6)


def test_without_scatter_of_seeds_it_is_a_paired_t_test() -> None:
    levels = TwoLevels((Group(3), Group(3)), 0.02**2, 40)
    assert levels.p_value(0.05) == pytest.approx(2 * stats.t(39).sf(2.5), rel=1e-6)
    assert levels.p_value(0.0) == 1.0
    assert TwoLevels((Group(3), Group(3)), 0.0, 5).p_value(0.4) == 2 / 2**5  # five clusters: no surer than their swaps


# ----------------------------------------------------------------------------------------------------- what is enough


def test_the_smallest_difference_of_exact_degrees() -> None:
    """Only seeds scatter: Student's test of the noncentral t, by scipy."""
    levels = TwoLevels((Group(5, 1.0), Group(5, 1.0)), 0.0, 80)
    smallest = levels.smallest_difference(0.05)
    assert smallest is not None
    shift, bar = smallest / np.sqrt(2 / 5), stats.t(8).ppf(0.975)
    assert stats.nct(8, shift).sf(bar) == pytest.approx(0.8, abs=0.001)
    assert levels.seeds_to_show(smallest, 0.05) == 6  # one more than there are
    assert levels.rows_to_show(smallest * 0.9, 80, 0.05) is None  # more rows do not calm seeds
    assert levels.seeds_to_show(smallest / 2, 0.05) == pytest.approx(4 * 5, abs=3)  # a quarter of the variance


def test_more_rows_calm_what_seeds_share_with_examples() -> None:
    both = Group(4, between=0.02**2, shared=0.02**2)
    levels = TwoLevels((both, both), 0.015**2, 1000)
    smallest = levels.smallest_difference(0.05)
    assert smallest is not None
    # All is luck of the rows: twice the precision takes four times as many.
    assert levels.rows_to_show(smallest / 2, 100, 0.05) == pytest.approx(400, abs=2)
    assert levels.seeds_to_show(0.01, 0.05) is None  # the examples' own part stays
    assert TwoLevels((Group(1), Group(1)), 0.04**2, 100).seeds_to_show(0.05, 0.05) is None


# ----------------------------------------------------------------------------------------------------- comparisons


def test_two_methods_are_compared_by_hand() -> None:
    first, second = table(4, seed=1), table(4, mean=0.62, seed=2)
    found = compare(group(first, "a"), group(second, "b"), "token_f1")
    difference = second.mean() - first.mean()
    assert found.difference == pytest.approx(difference)
    assert found.base_seeds == pytest.approx(first.mean(axis=1))
    assert found.candidate_seeds == pytest.approx(second.mean(axis=1))
    assert found.base_value == pytest.approx(first.mean())
    per_row = second.mean(axis=0) - first.mean(axis=0)
    codes = cluster_codes([None] * 60)
    a, b = (Group.of(F1, [row[:, None] for row in runs], codes) for runs in (first, second))
    over_rows = difference_interval(F1, first.mean(axis=0)[:, None], second.mean(axis=0)[:, None], codes)
    t59, degrees = stats.t(59).ppf(0.975), 3 * (a.between + b.between) ** 2 / (a.between**2 + b.between**2)
    of_seeds = stats.t(degrees).ppf(0.975) ** 2 * (a.between + b.between) / 4 - t59**2 * (a.shared + b.shared) / 4
    assert of_seeds > 0.4 * t59**2 * per_row.var(ddof=1) / 60  # seeds do matter here
    below = np.sqrt((over_rows.value - over_rows.low) ** 2 + of_seeds)
    assert found.interval.low == pytest.approx(difference - below)
    assert found.interval.high == pytest.approx(
        difference + np.sqrt((over_rows.high - over_rows.value) ** 2 + of_seeds)
    )
    facing_zero = TwoLevels((a, b), ((over_rows.value - over_rows.low) / t59) ** 2, 60)
    assert facing_zero.half_width(found.p_value) == pytest.approx(difference)
    assert (found.verdict, found.generalises_over) == ("better", "examples and seeds")
    assert found.test == "Student's t over examples and seeds"
    assert (found.base, found.candidate) == ("a1,a2,a3,a4", "b1,b2,b3,b4")
    assert found.wins == (per_row > 0).sum()
    assert found.sentence().startswith(
        f"The method of b1,b2,b3,b4 is better than the method of a1,a2,a3,a4: token F1 {second.mean():.3f} against "
        f"{first.mean():.3f}, a difference of +{difference:.3f}, "
    )
    assert (
        "; 60 rows; 4 seeds against 4). That holds for the methods: for other seeds, on such rows." in found.sentence()
    )
    assert found.sentence("rank 8", "rank 32").startswith("rank 32 is better than rank 8: token F1")


def test_test_and_interval_say_the_same_of_many_groups() -> None:
    shown = 0
    for trial in range(120):
        k = 2 + trial % 4
        first, second = table(k, seed=trial), table(k, mean=0.5 + 0.12 * (trial % 3) / 2, seed=1000 + trial)
        found = compare(group(first, "a"), group(second, "b"), "token_f1", resamples=500)
        assert (found.p_value <= 0.05) == found.interval.excludes(0.0)
        assert not found.interval_widened
        shown += found.verdict == "better"
    assert 20 < shown < 80


def test_one_lucky_seed_does_not_carry_a_method() -> None:
    """The same two runs differ clearly as models; as one of three seeds each they do not as methods."""
    row = np.tile([0.3, 0.5, 0.7], 20)
    first = np.array([row, row + 0.1, row + 0.2])
    second = np.array([row + 0.25, row + 0.02, row + 0.1])
    second[:, ::2] += 0.01
    assert compare(group(first, "a")[0], group(second, "b")[0], "token_f1").verdict == "better"
    found = compare(group(first, "a"), group(second, "b"), "token_f1")
    assert found.verdict == "not shown"
    assert found.rows_to_show is None  # only seeds scatter
    assert found.seeds_to_show is not None
    assert f"About {found.seeds_to_show} seeds a side would show a difference of this size. 60 rows and seeds" in (
        found.sentence()
    )


def test_equal_runs_leave_the_interval_over_examples() -> None:
    """Greedy answers of a method without chance: k equal runs are one, McNemar's interval and all."""
    first, second = np.array([0] * 12 + [1] * 48), np.array([1] * 12 + [0] * 2 + [1] * 46)
    alone = compare(scored(first, "a", "exact_match"), scored(second, "b", "exact_match"), "exact_match")
    found = compare(
        group(np.array([first] * 3), "a", "exact_match"),
        group(np.array([second] * 3), "b", "exact_match"),
        "exact_match",
    )
    assert (found.interval.low, found.interval.high) == (alone.interval.low, alone.interval.high)
    assert found.interval.method == "Tango, widened for seeds"
    turned = compare(
        group(np.array([second] * 3), "b", "exact_match"),
        group(np.array([first] * 3), "a", "exact_match"),
        "exact_match",
    )
    assert (turned.verdict, turned.p_value) == ("worse", pytest.approx(found.p_value, rel=1e-6))
    assert found.is_share
    assert "exact match 96.7 % against 80.0 %, a difference of +16.7 points (95 %" in found.sentence()


def test_a_single_answerer_against_a_group_is_a_fixed_model() -> None:
    first, second = table(1, seed=1), table(4, mean=0.65, seed=2)
    found = compare(scored(first[0], "base"), group(second, "b"), "token_f1")
    assert (found.base_seeds, len(found.candidate_seeds)) == ((), 4)
    assert found.verdict == "better"
    assert found.sentence().endswith(
        "; 60 rows; 4 seeds against one model). That holds for other seeds of the method of b1,b2,b3,b4, on such rows; "
        "base is one fixed model, of which another training run may differ."
    )
    turned = compare(group(second, "b"), [scored(first[0], "base")], "token_f1")
    assert turned.interval.high == pytest.approx(-found.interval.low, rel=0.02)  # mirrored, but for the resamples' ties
    assert turned.verdict == "worse"
    assert "base is worse than the method of b1,b2,b3,b4" in turned.sentence()
    assert "one model against 4 seeds" in turned.sentence()
    assert found.generalises_over == turned.generalises_over == "examples and seeds"


def test_order_margin_claims_and_failures_are_as_for_two_models() -> None:
    first = table(3, seed=1, scatter=0.002)
    second = first + np.random.default_rng(7).normal(0, 0.02, 60)
    runs = group(second, "b")
    turned = replace(
        runs[1], example_ids=runs[1].example_ids[::-1], rows={"token_f1": runs[1].rows["token_f1"][::-1]},
        finishes=("failed", *runs[1].finishes[1:]),
    )  # fmt: skip
    found = compare(group(first, "a"), [runs[0], turned, runs[2]], "token_f1", margin=0.05)
    assert found.interval == compare(group(first, "a"), runs, "token_f1").interval
    assert (found.verdict, found.candidate_failed) == ("as good within the margin", 1)
    assert "as good as the method of a1,a2,a3 within 0.050" in found.sentence()
    twice = adjust_for_claims([found, found])
    assert twice[0].p_adjusted == pytest.approx(min(1.0, 2 * found.p_value))


def test_a_comparison_of_groups_survives_json_and_old_files_are_read() -> None:
    found = compare(group(table(2), "a"), group(table(3, seed=5), "b"), "token_f1")
    stored = json.loads(json.dumps(found.to_json()))
    assert stored["candidate_seeds"] == list(found.candidate_seeds)
    assert stored["generalises_over"] == "examples and seeds"
    assert Comparison.from_json(stored) == found
    old = compare(scored(table(1)[0], "a"), scored(table(1, seed=5)[0], "b"), "token_f1")
    before = {
        key: value
        for key, value in old.to_json().items()
        if key not in ("base_seeds", "candidate_seeds", "seeds_to_show", "generalises_over")
    }
    assert Comparison.from_json(before) == old
    assert (old.base_seeds, old.generalises_over) == ((), "examples")


def test_groups_that_cannot_be_compared_are_refused() -> None:
    first, second = group(table(2), "a"), group(table(2, seed=5), "b")
    with pytest.raises(ConfigError, match="at least one; received none"):
        compare([], second, "token_f1")
    for base, candidate in ((first + first[:1], second), (first, [second[0], first[1]])):
        with pytest.raises(ConfigError, match=r"The same run is there twice\."):
            compare(base, candidate, "token_f1")
    with pytest.raises(DataError, match=r"a1 and b2 were not measured on the same examples: 1 are in one only"):
        compare(first, [second[0], scored(table(1, rows=61)[0], "b2")], "token_f1")


def test_the_score_of_a_method_has_a_wider_interval_than_its_runs() -> None:
    values, codes = table(4, scatter=0.1), cluster_codes([None] * 60)
    runs = [row[:, None] for row in values]
    found, mean = score_over_seeds(F1, runs, codes), score_over_seeds(F1, [values.mean(axis=0)[:, None]], codes)
    assert found.value == pytest.approx(values.mean())
    between, within = Group.of(F1, runs, codes), quantile(59, 0.05) ** 2
    half = np.sqrt(
        (mean.high - mean.value) ** 2 - within * between.shared / 4 + quantile(3, 0.05) ** 2 * between.between / 4
    )
    assert found.high == pytest.approx(found.value + half)
    assert mean.method == "bootstrap (BCa, expanded)"
    assert found.method == "bootstrap (BCa, expanded), widened for seeds"


def test_a_single_cluster_and_equal_scores_show_nothing() -> None:
    one = [replace(run, clusters=("c",) * 60) for run in [*group(table(3), "a"), *group(table(3, mean=0.8), "b")]]
    found = compare(one[:3], one[3:], "token_f1")
    assert (found.clusters, found.verdict, found.p_value, found.smallest_difference) == (1, "not shown", 1.0, None)
    assert found.interval.low <= 0 <= found.interval.high
    same = np.array([[0.5] * 60] * 2)
    equal = compare(group(same, "a"), group(same, "b"), "token_f1")
    assert (equal.verdict, equal.p_value, equal.rows_to_show, equal.seeds_to_show) == ("not shown", 1.0, None, None)
