"""Agreement with people: by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from luthier.evaluation.judges.agreement import Agreement, AmongPeople, Kappa, confusion
from luthier.evaluation.judges.pairwise import OUTCOMES, Outcome


def drawn(count: int, seed: int) -> list[Outcome]:
    return [OUTCOMES[i] for i in np.random.default_rng(seed).integers(0, 3, count)]


def half_right(people: list[Outcome], seed: int) -> list[Outcome]:
    random = np.random.default_rng(seed)
    return [label if random.random() < 0.5 else OUTCOMES[random.integers(0, 3)] for label in people]


def test_agreement_by_hand() -> None:
    people: list[Outcome] = ["first", "first", "second", "second", "tie", "tie", "first", "second"]
    judge: list[Outcome] = ["first", "second", "second", "second", "tie", "first", "tie", "first"]
    found = Agreement.of(people, judge, np.arange(8))
    assert found.raw.value == 4 / 8
    # 3 of 8 first, 3 second, 2 tie by both: chance is (9 + 9 + 4) / 64
    assert found.kappa.value == pytest.approx((0.5 - 22 / 64) / (1 - 22 / 64))
    assert found.both_decide == 5
    assert found.decided.value == pytest.approx(3 / 5)
    assert found.commonest == 3 / 8
    assert found.table["first"] == {"first": 1, "second": 1, "tie": 1}
    assert found.raw.method != "Wilson" or found.raw.low < 0.5 < found.raw.high


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed: int) -> None:
    people = drawn(60, seed)
    judge = half_right(people, seed + 100)
    assert float(Kappa().value(confusion(people, judge))) == pytest.approx(cohen_kappa_score(people, judge))


def test_the_interval_of_kappa_says_whether_it_is_chance() -> None:
    people = drawn(200, 0)
    chance, better = (Agreement.of(people, said, np.arange(200)) for said in (drawn(200, 1), half_right(people, 2)))
    assert chance.kappa.low < 0 < chance.kappa.high
    assert not chance.shown
    assert chance.warning() == "This judge agrees with people no better than chance: do not decide by it"
    assert better.kappa.low > 0.3
    assert (better.shown, better.warning()) == (True, "")


def test_a_few_lucky_pairs_of_a_judge_that_says_tie_show_nothing() -> None:
    people: list[Outcome] = ["first", "second"] * 100
    judge: list[Outcome] = ["tie"] * 200
    judge[0], judge[1], judge[3] = "first", "second", "second"
    few = Agreement.of(people, judge, np.arange(200))
    assert (few.both_decide, few.decided.value) == (3, 1.0)
    assert few.p_value > 0.1
    assert not few.shown
    judge[20:40] = people[20:40]
    assert Agreement.of(people, judge, np.arange(200)).shown
    wrong: list[Outcome] = ["second", "first"] * 100
    assert not Agreement.of(people, wrong, np.arange(200)).shown


def test_pairs_of_one_question_count_together() -> None:
    people = [label for label in drawn(40, 0) for _ in range(5)]
    judge = [label for label in half_right(drawn(40, 0), 3) for _ in range(5)]
    rows, clusters = (Agreement.of(people, judge, codes) for codes in (np.arange(200), np.arange(200) // 5))
    assert clusters.kappa.value == rows.kappa.value
    assert clusters.kappa.high - clusters.kappa.low > 1.5 * (rows.kappa.high - rows.kappa.low)


@pytest.mark.parametrize("said", OUTCOMES)
def test_a_judge_that_always_says_the_same_agrees_by_chance(said: Outcome) -> None:
    found = Agreement.of(drawn(50, 0), [said] * 50, np.arange(50))
    assert found.kappa.value == 0.0
    assert not found.shown
    same = Agreement.of([said] * 50, [said] * 50, np.arange(50))
    assert (same.raw.value, same.kappa.value, same.shown) == (1.0, 0.0, False)


def test_people_are_compared_with_each_other() -> None:
    labels: list[list[Outcome]] = [["first", "first", "tie"], ["second", "second", "second"], ["tie", "tie", "first"]]
    found = AmongPeople.of(labels)
    assert found is not None
    assert found.annotators == 3
    assert found.raw == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert AmongPeople.of([["first"], ["tie"]]) is None
    assert AmongPeople.of([["first", "tie"], ["tie"]]) is None
