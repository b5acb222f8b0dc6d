"""Lengths and the figures that follow from them: the output limit, the number of iterations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CHARACTERS_A_TOKEN = 4
"""The rule of thumb where no tokenizer is at hand."""


@dataclass(frozen=True)
class LengthStatistics:
    """Statistics of a list of lengths; quartiles are interpolated, `std` divides by count - 1 (0 for one length)."""

    count: int
    mean: float
    std: float
    minimum: int
    quartile_1: float
    median: float
    quartile_3: float
    maximum: int

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON."""
        return asdict(self)


def length_statistics(lengths: Sequence[int]) -> LengthStatistics:
    """Describe a list of lengths.

    Raises:
        ValueError: if the list is empty.
    """
    if not lengths:
        raise ValueError("There are no lengths to describe; give at least one.")
    ordered = sorted(lengths)
    count = len(ordered)
    mean = sum(ordered) / count
    variance = sum((length - mean) ** 2 for length in ordered) / (count - 1) if count > 1 else 0.0
    return LengthStatistics(
        count, mean, math.sqrt(variance), ordered[0],
        _quantile(ordered, 0.25), _quantile(ordered, 0.5), _quantile(ordered, 0.75), ordered[-1],
    )  # fmt: skip


def _quantile(ordered: Sequence[int], fraction: float) -> float:
    """Interpolate between the two nearest ranks, as NumPy and pandas do by default."""
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def output_limit(reference_tokens: Sequence[int]) -> int:
    """Return the most tokens an answer may have: the longest reference x 1.25, rounded up.

    Args:
        reference_tokens: Lengths of all references of the rows to tune and to choose on, end-of-turn token included.

    Raises:
        ValueError: if there are no references.
    """
    if not reference_tokens:
        raise ValueError("There are no references to take the output limit from; give at least one length.")
    return -(-max(reference_tokens) * 5 // 4)  # in integers, so that no rounding error adds a token


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens by the rule of thumb: characters / 4, rounded up."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def iterations(examples: int, batch_size: int, epochs: int = 1) -> int:
    """Return the number of optimizer steps: batches an epoch (the last may be smaller) times epochs."""
    return -(-examples // batch_size) * epochs
