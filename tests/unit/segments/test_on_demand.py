"""Batches on demand are indexed as lists are."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.segments import Batch, BatchesOnDemand, sequence_batch


class Five(BatchesOnDemand):
    """Sequences of 2 to 6 tokens."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __len__(self) -> int:
        return 5

    def make(self, index: int) -> Batch:
        self.made.append(index)
        weights = np.ones(index + 2, dtype=np.float32)
        weights[0] = 0.0
        return sequence_batch(np.arange(index + 2), weights)


@pytest.mark.parametrize("index", [0, 4, -1, -5])
def test_one_is_made_when_it_is_asked_for(index: int) -> None:
    five = Five()
    assert five[index].tokens == range(2, 7)[index]
    assert five.made == [range(5)[index]]


@pytest.mark.parametrize("part", [slice(1, 3), slice(None), slice(-2, None), slice(None, None, -2), slice(9, 12)])
def test_slices_are_those_of_a_list(part: slice) -> None:
    five = Five()
    assert [batch.tokens for batch in five[part]] == list(range(2, 7))[part]
    assert five.made == list(range(5))[part]


@pytest.mark.parametrize("index", [5, -6])
def test_outside_there_is_nothing(index: int) -> None:
    with pytest.raises(IndexError):
        Five()[index]
