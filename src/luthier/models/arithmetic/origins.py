"""Tensors that are cheap to make again: for the backward, what they were made from is kept instead of them.

What a norm gives is read by three products, each of which would keep it for its weights' gradient; what it is made from
is kept by the norm anyway. The same holds for the product of a gated feed-forward. Together they are a third of what a
layer keeps of a token.

Whoever keeps an origin saves the parts through `save_for_backward`, as any other tensor: so they are given up and made
anew where layers are recomputed, and a part that was changed since is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

_NOTE = "luthier_made_from"


class Origin:
    """How a tensor was made.

    Args:
        make: Makes it again from its parts, bit for bit.
    """

    def __init__(self, make: Callable[..., Tensor]) -> None:
        self._make = make
        self._made: Tensor | None = None
        self._keepers = self._asked = 0

    def keep(self) -> Origin:
        """Count one more who will ask in each backward."""
        self._keepers += 1
        return self

    def again(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the tensor as rows `[T, D]`: made for the first who asks, and held until the last keeper has asked."""
        if self._made is None:
            self._made = self._make(*parts)
        made = self._made.reshape(-1, self._made.shape[-1])
        self._asked += 1
        if self._asked == self._keepers:
            self._made, self._asked = None, 0
        return made


class MadeFrom(NamedTuple):
    """What stands on a tensor: its origin, and its parts."""

    origin: Origin
    parts: tuple[Tensor, ...]


def with_origin(tensor: Tensor, make: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Note on a tensor how it was made."""
    setattr(tensor, _NOTE, MadeFrom(Origin(make), parts))
    return tensor


def made_from(tensor: Tensor) -> MadeFrom | None:
    """Return what a tensor was made from, if that was noted."""
    found: Any = getattr(tensor, _NOTE, None)
    return found if isinstance(found, MadeFrom) else None
