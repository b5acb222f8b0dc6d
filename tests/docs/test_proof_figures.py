"""The figures of "How sure are we" are computed again, or are those of the benchmark."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from functools import cache
from typing import Any

import numpy as np
import pytest
from pages import DOCS, ROOT, text_of
from scipy.stats import binom

from luthier.evaluation.retention import questions
from luthier.evaluation.statistics.shares import paired_share_interval
from luthier.evaluation.statistics.significance import mcnemar_mid_p

PAGE = text_of(DOCS / "proof.md")
PROSE = " ".join(PAGE.split())
RESULTS = ROOT / "benchmarks" / "verdicts" / "results"
KINDS = ("exact match", "token F1", "exact match, 5 equal rows a cluster")
MARGIN = 0.05


def percent(count: float, trials: int) -> str:
    return f"{100 * count / trials:.1f} %"  # in the benchmark's order, which decides where halves are rounded to


def row(begin: str) -> list[str]:
    """Return the cells of a table's row, without the first."""
    (line,) = re.findall(rf"^\| {re.escape(begin)}[^|]*\|(.+)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_false_verdicts_are_those_of_the_benchmark() -> None:
    shares = []
    for kind in KINDS:
        found = [r for r in results("false")["rows"] if r["kind"] == kind]
        trials = sum(r["trials"] for r in found)
        assert trials == 4000
        shares.append(percent(sum(r["better"] + r["worse"] for r in found), trials))
    assert row("equal answerers are called different in 5 % of cases") == shares


@pytest.mark.parametrize(("begin", "power"), [("a difference with 80 % power", 0.8), ("one with 50 % power", 0.5)])
def test_planted_differences_are_those_of_the_benchmark(begin: str, power: float) -> None:
    shares = []
    for kind in KINDS:
        (found,) = [
            r
            for r in results("power")["rows"]
            if (r["kind"], r["rate"]) == (kind, 0.5) and r["predicted"] == pytest.approx(power, abs=1e-3)
        ]
        assert found["trials"] == 2000
        shares.append(percent(found["better"], found["trials"]))
    assert row(begin) == shares


def test_coverage_is_that_of_the_benchmark() -> None:
    scores = results("coverage")["scores"]
    few = [s for s in scores if s["data"].startswith(("12 ", "4 "))]
    held = [sorted(percent(s["luthier"], s["trials"]) for s in g) for g in ([s for s in scores if s not in few], few)]
    assert (len(held[0]), len(held[1])) == (10, 6)
    (low, high), (few_low, few_high) = [(g[0].removesuffix(" %"), g[-1]) for g in held]
    assert f"hold the true one in {low} to {high} of cases" in PROSE
    assert f"with only 12 or 4 rows or clusters in {few_low} to {few_high}." in PROSE


def test_the_winners_curse_is_computed() -> None:
    best = binom.cdf(np.arange(71), 70, 0.6) ** 8  # of eight
    expected = float((1 - best[:-1]).sum()) / 70  # the mean is the sum of P(more than k)
    assert "eight candidates that would all be right on 60 % of rows" in PROSE
    assert f"on 70 rows to choose, the best of them scores {100 * expected:.0f} % on average" in PROSE


def false_alarms(copies: int, clusters: int = 80, differing: float = 0.2) -> float:
    """Return how often two equal answerers are called different if each cluster counts as so many rows of its own."""
    total = 0.0
    for differ in range(42):  # of 80, with 16 expected: more than 7 standard deviations
        called = [mcnemar_mid_p(copies * won, copies * (differ - won)) <= 0.05 for won in range(differ + 1)]
        chances = binom.pmf(np.arange(differ + 1), differ, 0.5)
        total += float(binom.pmf(differ, clusters, differing) * chances @ np.array(called))
    return total


def test_the_price_of_forgotten_clusters_is_computed() -> None:
    assert false_alarms(1) == pytest.approx(0.05, abs=0.01)
    assert f"one by one would call them different in {100 * false_alarms(5):.0f} % of cases" in PROSE
    found = [r for r in results("false")["rows"] if r["kind"] == KINDS[2]]
    share = percent(sum(r["better"] + r["worse"] for r in found), sum(r["trials"] for r in found))
    assert f"With the clusters named it came out in {share} of our own" in PROSE


def shown_as_good(rows: int, differing: float, margin: float = 0.05) -> float:
    """Return how often two equal answerers are shown to be as good as each other within the margin."""
    total = 0.0
    low, high = (int(binom.ppf(p, rows, differing)) for p in (1e-6, 1 - 1e-6))
    for changed in range(low, high + 1):

        def misses(lost: int, changed: int = changed) -> bool:
            return paired_share_interval(changed - lost, lost, rows)[0] <= -margin

        first = bisect_left(range(changed + 1), True, key=misses)  # as many gained miss on the other side
        inside = binom.cdf(first - 1, changed, 0.5) - binom.cdf(changed - first, changed, 0.5)
        total += float(binom.pmf(changed, rows, differing) * max(0.0, inside))
    return total


@pytest.mark.parametrize("rows", [200, 500, 1000])
def test_how_often_equals_are_shown_to_be_as_good_is_computed(rows: int) -> None:
    shares = [f"{100 * shown_as_good(rows, differing):.0f} %" for differing in (0.05, 0.1, 0.2)]
    table = PAGE[PAGE.index("## Margins") : PAGE.index("## Forgetting")]
    assert f"| {rows:,} | {' | '.join(shares)} |" in table


@cache
def most_lost(changed: int) -> int:
    """Return how many of the changed questions may be lost for "no worse than 5 points" to be shown; -1 for none."""
    n, lost = len(questions()), changed
    while lost >= 0 and paired_share_interval(changed - lost, lost, n)[0] <= -MARGIN:
        lost -= 1
    return lost


def shown(changing: float, loss: float) -> float:
    """Return the chance that it is shown: each question changes with some probability, for the worse or the better."""
    changed = np.arange(int(240 * changing * 2))  # more than 6 standard deviations
    limits = np.array([most_lost(int(count)) for count in changed])
    chances = binom.cdf(limits, changed, (changing + loss) / 2 / changing)
    return float(binom.pmf(changed, len(questions()), changing) @ chances)


def test_how_often_no_forgetting_is_shown_is_computed() -> None:
    assert len(questions()) == 240
    for begin, loss in (("nothing", 0.0), ("1 point", 0.01), ("2 points", 0.02), ("5 points", 0.05)):
        assert row(begin) == [f"{100 * shown(changing, loss):.0f} %" for changing in (0.05, 0.1, 0.2, 0.3)], begin


def test_the_decision_on_general_questions_has_the_right_figures() -> None:
    prose = " ".join(text_of(DOCS / "decisions" / "0017-general-questions-of-our-own.md").split())
    assert "With as many lost as gained, 34 changed answers of 240 still show the claim, 36 do not." in prose
    assert most_lost(34) == 17
    assert most_lost(36) == 17
    assert f"the claim is shown in {100 * shown(0.2, 0.0):.0f} % of cases" in prose
