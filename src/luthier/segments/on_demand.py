"""Batches that are made when they are asked for, so that they need not be in memory as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from luthier.segments.forest import Batch


class BatchesOnDemand(Sequence[Batch]):
    """A sequence of batches; `make` makes one. Negative indices and slices are those of a list."""

    @abstractmethod
    def make(self, index: int) -> Batch:
        """Make the batch at an index from 0 to below the length."""

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...

    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [self.make(i) for i in range(*index.indices(len(self)))]
        return self.make(range(len(self))[index])
