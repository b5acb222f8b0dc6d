"""How numbers are written: percent, points, seconds, sizes, and numbers with an interval.

Written with ASCII minus signs and plain spaces, for terminals and files; `html` makes them typographic.
"""

from __future__ import annotations

import math
from typing import Literal

from luthier.core.budget import format_duration

Unit = Literal["share", "points", "number", "seconds"]
"""share: a fraction of 1, written in percent. points: a difference of shares, signed, in percentage points."""

MISSING = "–"


def percent(share: float) -> str:
    """Write a share in percent: 0.78 -> "78 %". Only 0 and 1 themselves read 0 % and 100 %; 0.997 -> "99.7 %"."""
    if not math.isfinite(share):
        return MISSING
    value = 100 * share
    if round(value) in (0, 100) and abs(value - round(value)) > 1e-9:
        if 0 < value < 0.05:
            return "<0.1 %"
        if 99.95 <= value < 100:
            return ">99.9 %"
        return f"{value:.1f} %"
    return f"{_plain(value, 0)} %"


def points(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign: 0.6 -> "+60", -0.005 -> "-0.5"."""
    if not math.isfinite(difference):
        return MISSING
    value = 100 * difference
    return _signed(value, 0 if abs(value) >= 10 or _is_whole(value) else 1)


def seconds(value: float) -> str:
    """Write a time: "0 s", "12 ms", "0.40 s", "12 s", "2 min 05 s"."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0 s"
    if value < 0.1:
        return f"{1000 * value:.0f} ms" if value >= 0.001 else "<1 ms"
    return f"{value:.2f} s" if value < 9.995 else format_duration(value)


def size(n_bytes: float) -> str:
    """Write a number of bytes with two or three digits: "1.9 GB" (powers of 1000)."""
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if abs(value) < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 99.5 else f"{value:.1f} {unit}"


def number(value: float) -> str:
    """Write a number with about three digits: 49152 -> "49,152", 0.42134 -> "0.421", 2e-5 -> "2e-05"."""
    if not math.isfinite(value):
        return MISSING
    if _is_whole(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.3g}"
    return _plain(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def quantity(value: float, unit: Unit) -> str:
    """Write a number in its unit."""
    return {"share": percent, "points": points, "number": number, "seconds": seconds}[unit](value)


def interval_parts(value: float, low: float | None, high: float | None, unit: Unit) -> tuple[str, str]:
    """Write a number and its interval: ("78 %", "[66, 87]"), ("+60", "[47, 72]"), ("-0.5", "[-3.0, +2.0]").

    The width of the interval sets the number of decimals: tenths of a point tell nothing where it is wide.
    Bounds carry a plus only where the interval of a difference holds zero, where the sign is the question.
    """
    if low is None or high is None or not all(map(math.isfinite, (value, low, high))):
        return quantity(value, unit), ""
    scale = 100 if unit in ("share", "points") else 1
    numbers = [scale * x for x in (value, low, high)]
    decimals = 0 if all(map(_is_whole, numbers)) else _decimals(numbers[2] - numbers[1])
    if scale == 100:
        decimals = min(decimals, 1) if numbers[2] - numbers[1] <= 5 else 0
        if round(numbers[0]) in (0, 100) and not _is_whole(numbers[0]):
            decimals = 1  # as in `percent`: only none and all read 0 % and 100 %
    first = _signed(numbers[0], decimals) if unit == "points" else _plain(numbers[0], decimals)
    bound = _signed if unit == "points" and numbers[1] < 0 < numbers[2] else _plain
    suffix = {"share": " %", "seconds": " s"}.get(unit, "")
    return first + suffix, f"[{bound(numbers[1], decimals)}, {bound(numbers[2], decimals)}]"


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-9


def _decimals(width: float) -> int:
    """Return the decimals at which an interval of this width has two digits."""
    return max(0, 1 - math.floor(math.log10(width))) if width > 0 else 2


def _plain(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def _signed(value: float, decimals: int) -> str:
    text = _plain(value, decimals)
    return f"+{text}" if float(text.replace(",", "")) > 0 else text
