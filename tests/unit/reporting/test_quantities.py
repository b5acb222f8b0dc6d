import math

import pytest

from luthier.reporting.blocks import Interval, Series, Table
from luthier.reporting.quantities import Unit, number, percent, points, seconds, size


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.784, "78 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.997, "99.7 %"),  # not all, so not "100 %"
        (0.003, "0.3 %"),
        (0.9999, ">99.9 %"),
        (0.0001, "<0.1 %"),
        (math.nan, "–"),
    ],
)
def test_percent_says_none_and_all_only_where_true(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("difference", "text"), [(0.6, "+60"), (-0.005, "-0.5"), (0.0, "0"), (0.034, "+3.4"), (-0.0001, "0.0")]
)
def test_points_carry_their_sign(difference: float, text: str) -> None:
    assert points(difference) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (0.0004, "<1 ms"), (0.0124, "12 ms"), (0.4, "0.40 s"), (12.3, "12 s"), (125, "2 min 05 s")],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 B"), (1500, "1.5 kB"), (1.9e9, "1.9 GB"), (271e6, "271 MB"), (999_700, "1.0 MB")]
)
def test_size(value: float, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(49152, "49,152"), (0.42134, "0.421"), (2e-5, "2e-05"), (3.0, "3"), (12.345, "12.3")]
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.78, 0.66, 0.87, "share", "78 % [66, 87]"),
        (0.976, 0.951, 1.0, "share", "97.6 % [95.1, 100.0]"),  # narrow: tenths count
        (0.996, 0.94, 1.0, "share", "99.6 % [94.0, 100.0]"),  # not all were right
        (1.0, 0.94, 1.0, "share", "100 % [94, 100]"),
        (0.6, 0.47, 0.72, "points", "+60 [47, 72]"),
        (-0.005, -0.03, 0.02, "points", "-0.5 [-3.0, +2.0]"),
        (-0.2, -0.3, -0.1, "points", "-20 [-30, -10]"),
        (1.2345, 1.2, 1.27, "number", "1.234 [1.200, 1.270]"),
        (0.405, 0.3, 0.52, "seconds", "0.41 s [0.30, 0.52]"),
        (0.5, None, None, "share", "50 %"),
        (math.nan, 0.1, 0.2, "share", "–"),
    ],
)
def test_an_interval_sets_its_decimals(
    value: float, low: float | None, high: float | None, unit: Unit, text: str
) -> None:
    assert str(Interval(value, low, high, unit)) == text


def test_blocks_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="Row 0 of a table has 1 cells for 0 columns"):
        Table([], [["a"]])
    with pytest.raises(ValueError, match="Series 'loss' has 2 x and 1 y values"):
        Series("loss", [1, 2], [0.5])
