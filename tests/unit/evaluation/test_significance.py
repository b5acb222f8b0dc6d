"""Paired tests against enumerations and numbers worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test

from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import holm
from luthier.evaluation.statistics.significance import mcnemar_mid_p, paired_p_value, sign_flip_mid_p

EXACT, F1 = build_metric("exact_match"), build_metric("token_f1")
MACRO = build_metric("macro_f1", labels=("a", "b"))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 0.5),
        (5, 0, 2 * 0.5 / 32),
        (7, 1, 2 * (1 / 256 + 0.5 * 8 / 256)),
        (8, 2, 2 * (11 / 1024 + 0.5 * 45 / 1024)),
        (3, 3, 1 - 0.5 * 20 / 64),
    ],
)
def test_mcnemar_by_hand(wins: int, losses: int, p: float) -> None:
    assert mcnemar_mid_p(wins, losses) == pytest.approx(p, abs=1e-12)
    assert mcnemar_mid_p(losses, wins) == pytest.approx(p, abs=1e-12)
    assert sign_flip_mid_p([1] * wins + [-1] * losses + [0] * 7) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    ("sums", "p"),
    [
        ([2, 1], 0.25),  # sums +-3, +-1: half of the two extremes of four
        ([2, -1], 0.75),  # two of four beyond, half of the other two
        ([5, 5, 5, 5, 5], 1 / 32),
        ([3, 3, -2, 1], None),
        ([4, -1, 2, 2, 5, -3], None),
    ],
)
def test_sign_flips_of_clusters(sums: list[int], p: float | None) -> None:
    flipped = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=len(sums))
    ]
    found = abs(sum(sums))
    expected = sum((x > found) + 0.5 * (x == found) for x in flipped) / len(flipped)
    assert sign_flip_mid_p(sums) == pytest.approx(expected, abs=1e-12)
    assert p is None or expected == p


def test_continuous_scores_by_hand() -> None:
    zero = column(0, 0, 0, 0)
    # All signs equal: two of eight swaps are as extreme. A row without difference changes nothing.
    assert paired_p_value(F1, zero, column(0.1, 0.2, 0.3, 0), np.arange(4)) == (0.25, "permutation by cluster, exact")
    assert paired_p_value(F1, zero, column(0.3, -0.1, 0, 0), np.arange(4))[0] == 1.0
    assert paired_p_value(F1, zero, zero, np.arange(4))[0] == 1.0
    # In two clusters only two sums have signs to toss.
    assert paired_p_value(F1, zero, column(0.1, 0.2, 0.3, 0.4), np.array([0, 0, 1, 1]))[0] == 0.5


def test_clusters_that_move_nothing_do_not_add_to_the_certainty() -> None:
    # The third cluster's two rows change sides: its sum is the same either way.
    base, candidate = column(0, 0, 0.2, 0.4, 0), column(0.1, 0.2, 0.4, 0.2, 0.3)
    assert paired_p_value(F1, base, candidate, np.array([0, 1, 2, 2, 3]))[0] == 0.25
    # ROUGE's rows hold precision and recall beside F: only F is compared.
    wide = np.column_stack([base[:, 0], np.arange(5), np.arange(5)])
    other = np.column_stack([candidate[:, 0], np.arange(5) + 1, np.arange(5)])
    rouge = build_metric("rouge1")
    assert paired_p_value(rouge, wide, other, np.array([0, 1, 2, 2, 3]))[0] == 0.25


def test_ties_that_rounding_hides_are_ties() -> None:
    """0.1 + 0.2 - 0.3 is not 0 in floating point, and sums in another order differ in their last digit."""
    base, candidate = column(*[0.0] * 6), column(0.1, 0.2, -0.3, 0.1, 0.2, 0.3)
    differences = candidate[:, 0]
    sums = [sum(s * x for s, x in zip(signs, differences, strict=True)) for signs in product((1, -1), repeat=6)]
    sizes, found = np.round(np.abs(sums), 9), round(float(differences.sum()), 9)
    assert (sizes == found).sum() > 2
    # The one found and its mirror image whole, the other ties half.
    expected = ((sizes > found).sum() + 2 + ((sizes == found).sum() - 2) / 2) / 64
    assert paired_p_value(F1, base, candidate, np.arange(6))[0] == pytest.approx(expected)


def test_drawn_swaps_agree_with_scipy() -> None:
    random = np.random.default_rng(2)
    base = random.random((40, 1))
    candidate = base + random.normal(0.03, 0.1, (40, 1))
    p, test = paired_p_value(F1, base, candidate, np.arange(40))
    assert test == "permutation by cluster, 10,000 draws"
    difference = (candidate - base)[:, 0]
    expected = permutation_test(
        (difference,), lambda x: x.mean(), permutation_type="samples", n_resamples=50_000, rng=random
    )
    assert p == pytest.approx(expected.pvalue, abs=0.015)
    assert paired_p_value(F1, base, candidate, np.arange(40), seed=5)[0] != p
    assert paired_p_value(F1, base, candidate, np.arange(40))[0] == p


def test_drawn_swaps_are_never_sure() -> None:
    base, candidate = column(*[0.0] * 30), column(*np.linspace(0.5, 0.9, 30))
    assert paired_p_value(F1, base, candidate, np.arange(30), resamples=999)[0] == pytest.approx(1 / 1000)


def macro_rows(truth: str, guess: str) -> np.ndarray:
    rows = np.zeros((len(truth), 2, 3))
    for row, right, found in zip(rows, truth, guess, strict=True):
        if right == found:
            row["ab".index(right), 0] = 1
        else:
            row["ab".index(right), 2] = 1
            row["ab".index(found), 1] = 1
    return rows.reshape(len(truth), 6)


@pytest.mark.parametrize(("codes", "movable"), [(np.arange(6), 4), (np.array([0, 0, 1, 1, 2, 3]), 3)])
def test_macro_f1_swaps_answers_and_computes_the_score_anew(codes: np.ndarray, movable: int) -> None:
    """Answers differ on the rows 1, 2, 3 and 5: the swap found and its mirror image are two in 2^movable."""
    truth, first, second = "aaabbb", "abbaba", "aaabbb"
    base, candidate = macro_rows(truth, first), macro_rows(truth, second)
    found = abs(MACRO.value(candidate) - MACRO.value(base))
    extreme = 0.0
    for sides in product((False, True), repeat=int(codes.max()) + 1):
        swap = np.array(sides)[codes][:, None]
        swapped = MACRO.value(np.where(swap, base, candidate)) - MACRO.value(np.where(swap, candidate, base))
        extreme += 1.0 if abs(swapped) > found + 1e-9 else 0.5 * (abs(swapped) > found - 1e-9)
    p, test = paired_p_value(MACRO, base, candidate, codes)
    assert p == pytest.approx(extreme / 2 ** (codes.max() + 1) + 1 / 2**movable)
    assert test == "permutation by cluster, exact"


def test_a_metric_of_any_kind_is_swapped_row_by_row() -> None:
    class Slow:
        name, higher_is_better = "slow", True
        value = staticmethod(MACRO.value)

    base, candidate = macro_rows("aaabbb", "abbaba"), macro_rows("aaabbb", "aaabbb")
    codes = np.array([0, 0, 1, 1, 2, 3])
    assert paired_p_value(Slow(), base, candidate, codes) == paired_p_value(MACRO, base, candidate, codes)  # type: ignore[arg-type]


def test_shares_use_exact_tests() -> None:
    base, candidate = column(0, 0, 0, 0, 0, 1, 1, 0), column(1, 1, 1, 1, 1, 1, 1, 0)
    assert paired_p_value(EXACT, base, candidate, np.arange(8)) == (1 / 32, "McNemar, exact mid-p")
    codes = np.array([0, 0, 1, 1, 2, 2, 3, 3])  # sums 2, 2, 1, 0
    assert paired_p_value(EXACT, base, candidate, codes) == (1 / 8, "permutation by cluster, exact mid-p")


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
