from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data import estimate_tokens, iterations, length_statistics, output_limit


def test_statistics_by_hand() -> None:
    found = length_statistics([4, 1, 3, 2])
    assert (found.count, found.mean, found.minimum, found.maximum) == (4, 2.5, 1, 4)
    assert (found.quartile_1, found.median, found.quartile_3) == (1.75, 2.5, 3.25)
    assert found.std == pytest.approx(1.2909944487358056, rel=1e-12)  # sqrt(5 / 3)
    assert length_statistics([7]).std == 0
    assert list(found.to_json()) == [
        "count", "mean", "std", "minimum", "quartile_1", "median", "quartile_3", "maximum",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=50))
def test_statistics_against_numpy(lengths: list[int]) -> None:
    found = length_statistics(lengths)
    assert found.std == pytest.approx(np.std(lengths, ddof=1), rel=1e-9, abs=1e-9)
    quartiles = np.percentile(lengths, [25, 50, 75])
    assert [found.quartile_1, found.median, found.quartile_3] == pytest.approx(quartiles, rel=1e-12)


def test_no_lengths_is_an_error() -> None:
    with pytest.raises(ValueError, match="no lengths to describe"):
        length_statistics([])
    with pytest.raises(ValueError, match="no references"):
        output_limit([])


@pytest.mark.parametrize(("longest", "limit"), [(100, 125), (101, 127), (4, 5), (1, 2), (0, 0), (160, 200)])
def test_output_limit_is_the_longest_times_five_quarters_rounded_up(longest: int, limit: int) -> None:
    assert output_limit([0, longest, longest // 2]) == limit


def test_rule_of_thumb_for_tokens() -> None:
    assert [estimate_tokens("x" * n) for n in (0, 1, 4, 5, 401)] == [0, 1, 1, 2, 101]


def test_iterations() -> None:
    assert iterations(2000, 500) == 4
    assert iterations(2000, 500, epochs=3) == 12
    assert iterations(2001, 500, epochs=2) == 10
    assert iterations(1, 32) == 1
